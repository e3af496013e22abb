"""What is done to data before training: ``python -m datamodules get|inspect|faces|mnist-m|pages``."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module

# verb: the module with its `add_arguments` and `run`, and what it does
VERBS = {
    "get": ("download", "download a dataset, or say how to ask for it"),
    "inspect": ("inspection.command", "look for what is wrong with a dataset"),
    "faces": ("faces", "find, align and crop the faces of photos"),
    "mnist-m": ("mnist_m", "build MNIST-M from MNIST and photos"),
    "pages": ("catalogue", "print docs/datasets.md"),
}


def main(arguments: list[str] | None = None) -> int:
    """Run one verb; what the user can mend ends in one sentence."""
    parser = argparse.ArgumentParser(prog="python -m datamodules", description=__doc__, allow_abbrev=False)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="|".join(VERBS))
    for verb, (module, purpose) in VERBS.items():
        command = verbs.add_parser(verb, help=purpose, description=purpose, allow_abbrev=False)
        import_module(f"datamodules.{module}").add_arguments(command)
    options, overrides = parser.parse_known_args(arguments)
    if overrides and options.verb != "inspect":
        parser.error(f"unknown arguments for {options.verb}: {' '.join(overrides)}")
    options.overrides = overrides
    try:
        return import_module(f"datamodules.{VERBS[options.verb][0]}").run(options)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
