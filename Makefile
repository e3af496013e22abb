# The verbs. `make help` lists them.
SHELL := /bin/bash
MODEL ?= stargan-quick
DATA ?= synthetic
NAME ?= $(shell date +%Y%m%d-%H%M%S)
RUN ?= runs/$(MODEL)-$(DATA)/$(NAME)
DATA_DIR ?=
JUDGE ?=
ARGS ?=

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
# Mixed precision pays where bf16 is multiplied by itself (GPUs; CPUs with AMX, about fourfold; with AVX-512-BF16, measured
# on a Zen CPU, 1.6 to 1.8 times) and costs where not.
PRECISION ?= $(shell { command -v nvidia-smi || grep -sE 'amx_bf16|avx512_bf16' /proc/cpuinfo; } >/dev/null && echo bf16-mixed || echo 32-true)

MODELS := $(basename $(notdir $(wildcard experiments/models/*.yaml)))
DATASETS := $(basename $(notdir $(wildcard experiments/data/*.yaml)))
PAIR := $(wildcard experiments/$(MODEL)-$(DATA).yaml)

known = $(if $(and $(filter 1,$(words $(1))),$(filter $(1),$(2))),,$(error $(3)=$(1) is unknown; known: $(2)))
ROOTED = $(if $(DATA_DIR),"--data.init_args.root=$(DATA_DIR)")
JUDGED = $(if $(JUDGE),"--evaluate.init_args.judge=$(JUDGE)")
CONFIG = --config experiments/defaults.yaml --config experiments/data/$(DATA).yaml \
  --config experiments/models/$(MODEL).yaml $(addprefix --config ,$(PAIR))

ifneq (,$(filter train,$(MAKECMDGOALS)))  # before anything is installed
$(call known,$(MODEL),$(MODELS),MODEL)
$(call known,$(DATA),$(DATASETS),DATA)
endif
ifneq (,$(filter data inspect,$(MAKECMDGOALS)))
$(call known,$(DATA),$(DATASETS),DATA)
endif
ifneq (,$(filter faces,$(MAKECMDGOALS)))
$(if $(and $(IN),$(OUT)),,$(error name both folders: make faces IN=photos OUT=faces [PRESET=celeba] [SIZE=256]))
endif
ifneq (,$(filter mnist-m,$(MAKECMDGOALS)))
$(if $(PHOTOS),,$(error name the photos, a folder with train/ and test/: make mnist-m PHOTOS=BSDS500/images))
endif
ifneq (,$(filter animate,$(MAKECMDGOALS)))
$(if $(and $(IMAGE),$(wildcard $(RUN))),,$(error name a run folder (or a checkpoint) and a picture: make animate RUN=runs/<model>-<data>/<name> IMAGE=me.jpg ARGS="--attribute AU12";   there are: $(patsubst %/config.yaml,%,$(wildcard runs/*/*/config.yaml))))
endif
ifneq (,$(filter table,$(MAKECMDGOALS)))
$(call known,$(TABLE),sragan-3,TABLE)
endif
ifneq (,$(filter resume evaluate,$(MAKECMDGOALS)))
$(if $(wildcard $(RUN)/config.yaml),,$(error name a run folder: make $(MAKECMDGOALS) RUN=runs/<model>-<data>/<name>;   there are: $(patsubst %/config.yaml,%,$(wildcard runs/*/*/config.yaml))))
endif

.PHONY: help install train resume evaluate animate table data inspect faces mnist-m pages test check format bench-data bench-training clean
.DEFAULT_GOAL := help

help:  ## this list
	@echo "make VERB [NAME=value …]"; echo
	@sed -nE 's/^([a-z-]+):.*## */\1|/p' Makefile | while IFS='|' read verb what; do printf '  %-12s%s\n' "$$verb" "$$what"; done
	@echo; echo "  MODEL=  $(MODELS)"; echo "  DATA=   $(DATASETS)"
	@echo "  DATA_DIR=folder of the dataset   JUDGE=run folder of a judge   NAME=of the run"
	@echo "  faces: IN=photos OUT=folder PRESET=celeba|bridgegan|celeba-hq|ganimation|rafd SIZE=pixels   mnist-m: PHOTOS=folder"
	@echo '  animate: IMAGE=picture ARGS="--attribute AU12 --box left,top,right,bottom"'
	@echo '  ARGS="…" any option of the command line, such as --trainer.max_steps=1000'

install: $(INSTALLED)  ## set up .venv with everything the project needs

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed, this is " + sys.version.split()[0] + "; if you have another: make PYTHON=python3.12") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

train: $(INSTALLED)  ## train MODEL on DATA, then test it; needs nothing else
	@$(BIN)/python -m translators fit $(CONFIG) --trainer.default_root_dir=$(RUN) --trainer.precision=$(PRECISION) \
	  $(ROOTED) $(JUDGED) $(ARGS)

resume: $(INSTALLED)  ## go on with RUN=runs/…, bit for bit, from its newest intact checkpoint
	@$(BIN)/python -m translators fit --config $(RUN)/config.yaml --ckpt_path $(RUN) $(ROOTED) $(JUDGED) $(ARGS)

evaluate: $(INSTALLED)  ## measure RUN=runs/… on its test images again, with JUDGE=runs/…
	@$(BIN)/python -m translators test --config $(RUN)/config.yaml --ckpt_path $(RUN) $(ROOTED) $(JUDGED) $(ARGS)

animate: $(INSTALLED)  ## let an attribute of the picture IMAGE go from 0 to 1, with RUN=runs/…: a strip and a GIF
	@$(BIN)/python -m translators animate "$(RUN)" "$(IMAGE)" $(ARGS)

table: $(INSTALLED)  ## a paper's table, TABLE=sragan-3, with DATA_DIR=…: trains what it needs, goes on where it stopped
	@$(BIN)/python experiments/tables.py "$(TABLE)" --precision=$(PRECISION) $(if $(DATA_DIR),"--root=$(DATA_DIR)") $(ARGS)

data: $(INSTALLED)  ## download DATA into DATA_DIR, verified, or say how to ask for it
	@$(BIN)/python -m datamodules get experiments/data/$(DATA).yaml $(if $(DATA_DIR),"--root=$(DATA_DIR)")

inspect: $(INSTALLED)  ## look for what is wrong with DATA; a report, contact sheets, and whether training can start
	@$(BIN)/python -m datamodules inspect experiments/data/$(DATA).yaml $(if $(DATA_DIR),"--root=$(DATA_DIR)") $(ARGS)

faces: $(INSTALLED)  ## find, align and crop the faces of the photos IN, into OUT
	@$(BIN)/python -m datamodules faces "$(IN)" "$(OUT)" $(if $(PRESET),--preset=$(PRESET)) $(if $(SIZE),--size=$(SIZE)) $(ARGS)

mnist-m: $(INSTALLED)  ## build MNIST-M in DATA_DIR from its MNIST and from PHOTOS
	@$(BIN)/python -m datamodules mnist-m "$(or $(DATA_DIR),data/digits)" "$(PHOTOS)" $(ARGS)

pages: $(INSTALLED)  ## write docs/datasets.md anew
	@mkdir -p docs
	@$(BIN)/python -m datamodules pages > docs/datasets.md

test: $(INSTALLED)  ## run the tests
	$(BIN)/python -m pytest $(ARGS)

check: $(INSTALLED)  ## lint, formatting, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(INSTALLED)  ## format, and mend what the linter can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench-data: $(INSTALLED)  ## images per second, decoded each time and from the cache, beside Pillow with torchvision
	$(BIN)/python experiments/bench_data.py $(ARGS)

bench-training: $(INSTALLED)  ## training images per second of each model, side by side; ARGS=--profile: where the time goes
	$(BIN)/python experiments/bench_training.py --precision=$(PRECISION) $(ARGS)

clean:  ## remove .venv and caches; runs/ stays
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache
