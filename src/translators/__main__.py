"""The command line: ``python -m translators fit|validate|test|predict|animate …``."""

from __future__ import annotations

import sys

HELP = """\
usage: python -m translators {fit,validate,test} --config FILE [--config FILE …] [--section.option=value …]
       python -m translators animate RUN PHOTO (--attribute NAME | --to NAME=VALUE,…) [--option value …]

  fit       train, then test, and write everything to one run folder
  validate  measure a checkpoint on the validation images
  test      measure a checkpoint on the test images: metrics.json
  animate   let an attribute of a photo go from 0 to 1: strip.png, animation.gif

Configuration is the constructors' own: --model, --data, --trainer name classes and their arguments.
  python -m translators fit --help                                       every option of training
  python -m translators fit --model.help=translators.StarGAN             every option of a model
  python -m translators fit --data.help=datamodules.SyntheticFaces       every option of a dataset
  python -m translators animate --help                                   every option of an animation
  python -m translators fit --config FILE … --print_config               the whole configuration, resolved

Most people start with `make train` and `make help`.
"""


def main() -> None:
    """Answer for help and version at once; everything else needs the libraries, which take seconds to import."""
    if sys.argv[1:] in ([], ["-h"], ["--help"]):
        print(HELP, end="")
        return
    if sys.argv[1:] == ["--version"]:
        from translators import __version__

        print(__version__)
        return
    if sys.argv[1:2] == ["animate"]:
        from translators import photo

        sys.exit(photo.main(sys.argv[2:]))
    from translators.cli import run

    sys.exit(run())


if __name__ == "__main__":
    main()
