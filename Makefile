# From labelled photos to a detector. `make` prints the commands of the first week, `make help-all` prints all of them.
#
# Set a variable in the command, as in `make train STEPS=5000`, or for all commands of a shell by exporting TFOD_STEPS.
# A STEPS or VENV that was exported for another program has no effect.

# -- environment
## Python that creates the environment: 3.11, 3.12 or 3.13
PYTHON = python3
## folder of the environment
VENV = .venv
## 1: make install adds CUDA's libraries, for an NVIDIA card
CUDA =
## folder of the labelling tool's own environment
LABEL_VENV = .venv-label
## folder of the environment with what the page of make web runs on
WEB_VENV = .venv-web
# -- places
## folder of the data and models that a command works on
WORKSPACE = workspace/training_demo
## name of the model, in WORKSPACE/models and WORKSPACE/exported_models
MODEL = my_model
## export of another labelling tool that make import brings in: a folder, a zip, or one of its files
FROM =
## folder in WORKSPACE that make label opens; prelabel/voc holds the proposals of make prelabel
LABEL_IMAGES = images
## name of the workspace that make workspace creates
NAME =
# -- the model to start from
## zoo model to start from: a name, a URL or a tarball; empty starts from BASE_CONFIG
PRETRAINED = ssd_mobilenet_v2_fpnlite_320x320_coco17_tpu-8
## https URL of a copy of the zoo, laid out as MIRROR/20200711/NAME.tar.gz; empty uses the zoo itself
MIRROR =
## sha256 that the .tar.gz of PRETRAINED must have; empty uses the known one
SHA256 =
## filters for make models: --family SSD, --max-ms 50, --min-map 25, --tflite, --sort map
ZOO_FILTER =
## config to start from if PRETRAINED is empty
BASE_CONFIG = scripts/configs/ssd_mobilenet_v2_fpnlite_320.config
## checkpoint to start from with BASE_CONFIG, without its suffix; empty starts from random weights
FINE_TUNE_CHECKPOINT =
## what to take from it: except_class_head, detection, classification or full; see docs/checkpoints.md
FINE_TUNE_CHECKPOINT_TYPE = except_class_head
## pixels that the model resizes photos to: 320, or 640x480; empty keeps the base config's
INPUT_SIZE =
## augmentation of the training photos: light, default or strong; empty keeps the base config's
AUGMENT =
## backbone: freeze its weights; none: train everything
FREEZE =
## decay of the weights' moving averages, such as 0.999, which are then evaluated and exported; 0 turns them off
EMA =
## metrics of make eval: coco, pascal or open_images; empty keeps the base config's
METRICS =
## other fields of pipeline.config, separated by spaces: train_config.gradient_clipping_by_norm=10 and so on
SET =
## 1: make config overwrites a pipeline.config that was edited by hand
FORCE =
# -- data
## share of the photos for testing, images/test
RATIO = 0.1
## share of the photos for validation, images/val; empty makes none
VAL =
## regular expression, such as '^(.+)_\d+': photos with the same match in the file name are one scene and stay together
GROUP =
## 0: make split does not balance the classes between the subsets
STRATIFY = 1
## 1: make split makes hard links instead of copies
LINK =
## 1: make split draws a new split of all photos; otherwise only new photos are distributed and the others stay
FRESH =
## files that the training records are spread over, to be read in parallel
SHARDS = 1
## 0: make tfrecord does not run make check first
CHECK = 1
## what becomes of faulty photos: stop; skip leaves them out of the records; fix repairs in the records what needs no guess
FAULTY = stop
## 1: photos without an XML file are negatives, not errors
ALLOW_UNLABELLED =
## seed of the split, the initial weights and the shuffling
SEED = 42
# -- training
## training steps
STEPS = 2000
## images per step
BATCH = 8
## steps between checkpoints
CHECKPOINT_EVERY = 500
## steps between evaluations while training; the best checkpoint is kept in models/MODEL/best; 0: none
EVAL_EVERY = 0
## evaluations without improvement after which training stops; 0: never
PATIENCE = 0
## machines that train together, listed in TF_CONFIG; see docs/gpu.md
WORKERS = 1
# -- results
## models that make compare compares, such as "a b c"; the first is the baseline
MODELS =
## checkpoint to evaluate or export: latest, best or a number; empty evaluates the latest and exports the best if there is one
CHECKPOINT =
## batch size of the export: a number, or dynamic for any; empty is 1
EXPORT_BATCH =
## score threshold: draw detections with at least this score
SCORE = 0.5
## TFLite file that make bundle packs: int8, float32, float16 or dynamic
FORMAT = int8
## board that make device measures on, as ssh knows it: pi@raspberrypi.local
HOST =
## file for ssh -F, with a port or a key for HOST; empty is ssh's own
SSH_CONFIG =
## port of TensorBoard
PORT = 6006
## address that TensorBoard listens on; 0.0.0.0 in the container
TENSORBOARD_HOST = 127.0.0.1
## which TFLite file the page of make web runs: int8, float16, float32 or dynamic
WEB_FORMAT = int8
## port of make web-serve
WEB_PORT = 8000
# -- demonstrations and tests
## folder of the raccoon photos and their XML files; empty downloads them
DATA =
## 1: make bench-train also measures the time to mAP 0.50
QUALITY =
## test files that make test runs, one after the other; empty runs all
TESTS =
## 1: make test-upstream runs only the tests of what this project calls
FAST =
## 1: make test-families updates the tables in docs/
DOCS =

# ---------------------------------------------------------------- how values get into the commands below
# A folder may be called `a$(b)` or "it's mine". So values are never pasted into a command: recipes read the variables
# from their environment, as "$$STEPS" ($$ is how make writes the shell's $).

export
define line_break


endef
# $(call refuse_line_break,TEXT,WHAT): ends with an error if TEXT holds a line break, which no recipe can handle
refuse_line_break = $(if $(findstring $(line_break),$(1)),$(error error: $(2): contains a line break; choose a name without one))
# $(call set_text,NAME,SOURCE): sets NAME to the value of the variable SOURCE, without expanding a $ in it
set_text = $(call refuse_line_break,$(value $(2)),$(1))$(eval override $(1) := $$(value $(2)))
# what was given in the command, then what the environment has as TFOD_NAME
$(foreach name,$(.VARIABLES),$(if $(filter line override,$(lastword $(origin $(name)))),$(call set_text,$(name),$(name))))
$(foreach name,$(patsubst TFOD_%,%,$(filter TFOD_%,$(.VARIABLES))),$(if $(filter file,$(origin $(name))),$(call set_text,$(name),TFOD_$(name))))
$(call refuse_line_break,$(CURDIR),the folder of this Makefile)

# $(call from_root,PATH): PATH itself if it starts with a /, otherwise relative to the folder of this Makefile
from_root = $(if $(filter x/%,$(firstword x$(1))),$(1),$(CURDIR)/$(1))
# $(call default,NAME,VALUE): NAME=VALUE, for a make that is called below, unless NAME was given
default = $(if $(filter override,$(origin $(1))),,$(1)=$(2))
# $(call with_words,NAME) COMMAND: runs the command with the words of the variable NAME appended; words may be quoted
with_words = printf '%s' "$$$(1)" | xargs
unexport line_break refuse_line_break set_text from_root default with_words
# cd would search it for the folder first
unexport CDPATH

.DEFAULT_GOAL := help
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory
PY = $(call from_root,$(VENV))/bin/python
SCRIPTS = $(CURDIR)/scripts
WORKSPACE_FOLDER = $(call from_root,$(WORKSPACE))
IN_WORKSPACE = cd "$$WORKSPACE_FOLDER" &&
CONFIG = models/$(MODEL)/pipeline.config
EXPORT = exported_models/$(MODEL)
# a given checkpoint takes precedence over the zoo's model
ZOO_MODEL = $(if $(FINE_TUNE_CHECKPOINT),,$(PRETRAINED))
# the path of a local tarball is relative to the repository's root, like every other path
ZOO_SOURCE = $(if $(findstring ://,$(ZOO_MODEL)),$(ZOO_MODEL),$(if $(filter %.gz,$(ZOO_MODEL)),$(call from_root,$(ZOO_MODEL)),$(ZOO_MODEL)))
BASE = $(call from_root,$(BASE_CONFIG))
FINE_TUNE_FROM = $(call from_root,$(FINE_TUNE_CHECKPOINT))
DATA_FOLDER = $(call from_root,$(DATA))
SSH_CONFIG_FILE = $(call from_root,$(SSH_CONFIG))
FROM_PLACE = $(call from_root,$(FROM))
LABEL_VENV_FOLDER = $(call from_root,$(LABEL_VENV))
WEB_VENV_FOLDER = $(call from_root,$(WEB_VENV))

# ---------------------------------------------------------------- help
# what a beginner needs, in the order of the work
FIRST_WEEK = install demo workspace import label split check tfrecord train tensorboard eval report export infer tflite web help-all \
  WORKSPACE MODEL PRETRAINED RATIO STEPS BATCH EVAL_EVERY SCORE NAME

.PHONY: help help-all
help:
	@awk -v first="$$FIRST_WEEK" '/^## / {text = substr($$0, 4); next} \
	  text && /^[A-Z_0-9]+ =/ {name = $$1; sub(/^[A-Z_0-9]+ = ?/, ""); lines[name] = sprintf("  %-12s %s [%s]", name, text, $$0)} \
	  text && /^[a-z_-]+:/ {sub(/:.*/, ""); lines[$$0] = sprintf("  make %-12s %s", $$0, text)} \
	  {text = ""} \
	  END {count = split(first, names); for (i = 1; i <= count; i++) {if (names[i] ~ /^[A-Z]/ && !said++) \
	    print "\nVariables, with their defaults; change one as in: make train STEPS=5000"; print lines[names[i]]}}' Makefile

## all commands and variables, by stage of the work
help-all:
	@awk '/^# --+ / {sub(/^# -+ /, ""); group = $$0; next} \
	  /^## / {text = substr($$0, 4); next} \
	  text && /^[A-Z_0-9]+ =/ {name = $$1; sub(/^[A-Z_0-9]+ = ?/, ""); \
	    variables = variables (group == last ? "" : "\n" group "\n") sprintf("  %-26s %s [%s]\n", name, text, $$0); last = group} \
	  text && /^[a-z_-]+:/ {sub(/:.*/, ""); \
	    targets = targets (group == last ? "" : "\n" group "\n") sprintf("  make %-21s %s\n", $$0, text); last = group} \
	  {text = ""} \
	  END {printf "%s\nVARIABLES, with their defaults; change one as in: make train STEPS=5000, or for a whole shell: export TFOD_STEPS=5000\n%s", targets, variables}' Makefile

# ---------------------------------------------------------------- environment

.PHONY: ready install doctor lock
ready:
	@scripts/install.sh "$$PYTHON" "$$VENV" "$$CUDA"

## create the environment; does nothing if it is complete
install: ready
	@printf '%s\n' "$$VENV holds what requirements.txt names"
	@if [ -e "$$VENV/requirements-cuda.txt" ]; then echo "and CUDA's libraries, which requirements-cuda.txt names"; \
	  elif [ -e /dev/nvidiactl ] || [ -e /dev/dxg ]; then \
	  echo "for an NVIDIA card: make install CUDA=1 adds CUDA's libraries, 2.8 GB to download, 4.3 GB on disk"; fi

## check whether this machine can train and evaluate
doctor: ready
	@"$$PY" scripts/doctor.py

## rebuild requirements.txt, requirements-cuda.txt, -label.txt and -web.txt from the .in files (needs uv)
lock:
	@command -v uv >/dev/null || { echo "error: uv: is not installed; python3 -m pip install uv" >&2; exit 1; }
	compile() { uv pip compile "$$1.in" -o "$$1.txt" --universal --python-version "$$2" --generate-hashes \
	  --no-emit-index-url --custom-compile-command "make lock" $$3 || exit; }; \
	  for name in requirements requirements-cuda requirements-label requirements-web; do compile $$name 3.11; done; \
	  compile tests/mediapipe/requirements 3.11; \
	  compile scripts/tfod/export/runner/requirements 3.10 --no-deps

# ---------------------------------------------------------------- photos to detector

.PHONY: export-there tflite onnx benchmark bundle device web web-serve
.PHONY: workspace workspace-there import label split label_map check stats tfrecord inspect models pretrained config check-config train eval report compare export infer prelabel tensorboard
## create a new workspace, workspace/NAME
workspace:
	@case "$$NAME" in \
	  "") echo "error: NAME is empty; make workspace NAME=my_photos" >&2; exit 2 ;; \
	  . | .. | *[\'\"\`\$$\\/]*) printf '%s\n' "error: NAME=$$NAME: can't be a folder's name; choose one without / \\ \$$ and quotes" >&2; exit 2 ;; esac
	@for folder in annotations exported_models images/train images/test models pre_trained_models; do \
	  mkdir -p "workspace/$$NAME/$$folder" || exit; done; \
	  for script in model_main_tf2 exporter_main_v2 inference_main_v2; do \
	  [ -e "workspace/$$NAME/$$script.py" ] || ln -s "../../scripts/$$script.py" "workspace/$$NAME/$$script.py" || exit; done
	@printf '%s\n' "workspace/$$NAME is ready; put photos and XML files into workspace/$$NAME/images, then:" \
	  "  make split tfrecord train eval export infer WORKSPACE='workspace/$$NAME'"

workspace-there: ready
	@fail() { printf 'error: %s\n' "$$*" >&2; exit 1; }; \
	  test -n "$$WORKSPACE" || fail "WORKSPACE is empty; name the workspace's folder"; \
	  test -d "$$WORKSPACE_FOLDER" || fail "$$WORKSPACE: does not exist; make workspace NAME=... creates it"; \
	  case "/$$MODEL/" in //) fail "MODEL is empty; name a model" ;; \
	  *//* | */./* | */../*) fail "MODEL=$$MODEL: can't be a model's name; it becomes a folder in models/ and exported_models/" ;; esac

## bring photos and labels of another tool into images/: make import FROM=export.zip
import: workspace-there
	@test -n "$$FROM" || { echo "error: FROM is empty; make import FROM=export.zip, or a folder" >&2; exit 2; }
	@$(IN_WORKSPACE) "$$PY" "$$SCRIPTS/preprocessing/import_dataset.py" -o images -- "$$FROM_PLACE"

## open the labelling tool on LABEL_IMAGES, with the known classes
label: workspace-there
	@scripts/install_label.sh "$$PY" "$$LABEL_VENV"
	@$(IN_WORKSPACE) "$$PY" "$$SCRIPTS/label.py" --image_dir="$$LABEL_IMAGES" -l annotations/label_map.pbtxt --venv "$$LABEL_VENV_FOLDER"

## copy images/ into images/train and images/test (and images/val)
split: workspace-there
	@$(IN_WORKSPACE) "$$PY" "$$SCRIPTS/preprocessing/partition_dataset.py" -x -i images -r "$$RATIO" --seed "$$SEED" \
	  $(if $(VAL),--val "$$VAL") $(if $(GROUP),--group="$$GROUP") --stratify="$${STRATIFY:-0}" $(if $(LINK),--link) \
	  $(if $(FRESH),--fresh) --faulty "$$FAULTY" --faulty_list annotations/faulty.csv

## number the classes of the XML files: annotations/label_map.pbtxt
label_map: workspace-there
	@$(IN_WORKSPACE) "$$PY" "$$SCRIPTS/preprocessing/generate_label_map.py" -x images -o annotations/label_map.pbtxt --faulty "$$FAULTY"

## find every fault in photos, boxes, class names and split: annotations/check.json
check: workspace-there
	@$(IN_WORKSPACE) config=$$CONFIG; [ -f "$$config" ] || config=$$BASE; \
	  labels=annotations/label_map.pbtxt; [ -f "$$labels" ] || labels=; \
	  "$$PY" "$$SCRIPTS/preprocessing/check_dataset.py" -i images $${labels:+-l "$$labels"} --config "$$config" \
	  --json annotations/check.json $(if $(ALLOW_UNLABELLED),--allow_unlabelled) --faulty "$$FAULTY"

## draw charts of the photos and boxes, in sizes at the model's input: stats/
stats: workspace-there
	@$(IN_WORKSPACE) config=$$CONFIG; [ -f "$$config" ] || config=$$BASE; \
	  labels=annotations/label_map.pbtxt; [ -f "$$labels" ] || labels=; \
	  "$$PY" "$$SCRIPTS/preprocessing/check_dataset.py" -i images $${labels:+-l "$$labels"} --config "$$config" --plots stats
	@printf '%s\n' "the charts: $$WORKSPACE/stats"

## pack photos and boxes: annotations/train.record and annotations/test.record (and val.record)
tfrecord: $(if $(filter 0,$(CHECK)),,check) label_map
	@$(IN_WORKSPACE) shards=$$SHARDS; for side in train test $$(test ! -d images/val || echo val); do "$$PY" "$$SCRIPTS/preprocessing/generate_tfrecord.py" \
	  -x images/$$side -l annotations/label_map.pbtxt -o annotations/$$side.record \
	  --check $(if $(filter 0,$(CHECK)),full,headers) --num_shards "$$shards" $(if $(ALLOW_UNLABELLED),--allow_unlabelled) --faulty "$$FAULTY" || exit; shards=1; done

## read the records back, check every example, count boxes, draw the first 12 of each subset: annotations/inspected
inspect: workspace-there
	@$(IN_WORKSPACE) "$$PY" "$$SCRIPTS/preprocessing/inspect_tfrecord.py" -l annotations/label_map.pbtxt \
	  --draw 12 -o annotations/inspected annotations/train.record annotations/test.record \
	  $$(test ! -d images/val || echo annotations/val.record)

## list the zoo's models for PRETRAINED with speed and mAP, and three to try first; ZOO_FILTER="--tflite" narrows the list
models: ready
	@$(call with_words,ZOO_FILTER) "$$PY" "$$SCRIPTS/list_models.py"

## download the model PRETRAINED into pre_trained_models/
pretrained: workspace-there
	@$(if $(ZOO_MODEL),$(IN_WORKSPACE) "$$PY" "$$SCRIPTS/download_model.py" -o pre_trained_models $(if $(MIRROR),--mirror="$$MIRROR") $(if $(SHA256),--sha256="$$SHA256") -- "$$ZOO_SOURCE",:)

## write models/MODEL/pipeline.config
config: tfrecord pretrained
	@$(IN_WORKSPACE) $(if $(ZOO_MODEL),BASE="pre_trained_models/$$(basename -- "$$ZOO_MODEL" .tar.gz)";) \
	  $(call with_words,SET) "$$PY" "$$SCRIPTS/configure_pipeline.py" --base "$$BASE" -o "$$CONFIG" --num_steps "$$STEPS" \
	  --batch_size "$$BATCH" $(if $(FORCE),--force) $(if $(FINE_TUNE_CHECKPOINT),--fine_tune_checkpoint \
	  "$$FINE_TUNE_FROM") --fine_tune_checkpoint_type "$$FINE_TUNE_CHECKPOINT_TYPE" \
	  $(if $(INPUT_SIZE),--input_size "$$INPUT_SIZE") $(if $(AUGMENT),--augment "$$AUGMENT") $(if $(FREEZE),--freeze "$$FREEZE") \
	  $(if $(EMA),--ema "$$EMA") $(if $(METRICS),--metrics "$$METRICS") $(if $(SET),--set)

## list everything that is wrong with models/MODEL/pipeline.config
check-config: workspace-there
	@$(IN_WORKSPACE) "$$PY" "$$SCRIPTS/configure_pipeline.py" --check "$$CONFIG"

## train the model up to step STEPS, continuing where it stopped
train: config
	@$(IN_WORKSPACE) "$$PY" "$$SCRIPTS/model_main_tf2.py" --model_dir="models/$$MODEL" --pipeline_config_path="$$CONFIG" --seed="$$SEED" \
	  --checkpoint_every_n="$$CHECKPOINT_EVERY" --eval_every_n="$$EVAL_EVERY" --patience="$$PATIENCE" --num_workers="$$WORKERS"

## evaluate CHECKPOINT, or the newest checkpoint, on the test photos: models/MODEL/metrics.json
eval: workspace-there
	@$(IN_WORKSPACE) "$$PY" "$$SCRIPTS/evaluate.py" --model "models/$$MODEL" --pipeline_config_path "$$CONFIG" \
	  $(if $(CHECKPOINT),--checkpoint "$$CHECKPOINT")

## write a page about the model: is it good, which errors cost most, which photos to look at: models/MODEL/report/index.html
report: eval
	@$(IN_WORKSPACE) "$$PY" "$$SCRIPTS/report.py" --model_dir "models/$$MODEL"
	@printf '%s\n' "open $$WORKSPACE/models/$$MODEL/report/index.html in a browser"

## compare MODELS="a b c": is one better, or are there too few test photos to tell: compare/index.html
compare: workspace-there
	@$(IN_WORKSPACE) $(call with_words,MODELS) "$$PY" "$$SCRIPTS/compare.py" --seed "$$SEED" --

## export the best checkpoint if there is one, otherwise the newest: exported_models/MODEL
export: workspace-there
	@$(IN_WORKSPACE) "$$PY" "$$SCRIPTS/exporter_main_v2.py" --input_type image_tensor --pipeline_config_path "$$CONFIG" \
	  --trained_checkpoint_dir "models/$$MODEL" --output_directory "$$EXPORT" --overwrite \
	  $(if $(CHECKPOINT),--checkpoint "$$CHECKPOINT") $(if $(EXPORT_BATCH),--batch_size "$$EXPORT_BATCH")

export-there: workspace-there
	@test -d "$$WORKSPACE_FOLDER/$$EXPORT/saved_model" || { printf '%s\n' "error: $$WORKSPACE/$$EXPORT: is not an export; run make export first" >&2; exit 1; }

# conversions use the export's own checkpoint and config
FROM_EXPORT = --pipeline_config_path "$$EXPORT/pipeline.config" --trained_checkpoint_dir "$$EXPORT/checkpoint" \
  --output_directory "$$EXPORT/tflite"

## convert the export to TFLite, as float32, float16, dynamic-range and int8: exported_models/MODEL/tflite
tflite: export-there
	@$(IN_WORKSPACE) "$$PY" "$$SCRIPTS/export_tflite_graph_tf2.py" $(FROM_EXPORT) --overwrite
	@$(IN_WORKSPACE) "$$PY" "$$SCRIPTS/convert_tflite.py" --saved_model_dir "$$EXPORT/tflite/saved_model" $(FROM_EXPORT) \
	  --seed "$$SEED"

## convert the export to ONNX: exported_models/MODEL/model.onnx
onnx: export-there
	@$(IN_WORKSPACE) "$$PY" "$$SCRIPTS/convert_onnx.py" --saved_model_dir "$$EXPORT/saved_model" --output "$$EXPORT/model.onnx"

## make a web page of the export, for cameras, photos and videos in any browser: exported_models/MODEL/web
web: export-there
	@scripts/install_web.sh "$$PY" "$$WEB_VENV"
	@$(IN_WORKSPACE) "$$PY" "$$SCRIPTS/export_web.py" --export "$$EXPORT" --format "$$WEB_FORMAT" --venv "$$WEB_VENV_FOLDER"

## serve that page on http://127.0.0.1:WEB_PORT, and say how a phone gets there; stop it with Ctrl-C
web-serve: workspace-there
	@$(IN_WORKSPACE) "$$PY" "$$SCRIPTS/serve_web.py" --folder "$$EXPORT/web" --port "$$WEB_PORT"

## measure mAP, speed and size of every format of the export: exported_models/MODEL/benchmark.md
benchmark: export-there
	@$(IN_WORKSPACE) "$$PY" "$$SCRIPTS/benchmark.py" --export "$$EXPORT" --batch "$$BATCH"

## pack a TFLite file, FORMAT, with what runs it without TensorFlow and 20 photos: exported_models/MODEL/bundle.tar.gz
bundle: export-there
	@$(IN_WORKSPACE) "$$PY" "$$SCRIPTS/bundle.py" --export "$$EXPORT" --format "$$FORMAT"

## measure the TFLite files on a board, HOST=pi@board, over ssh, and add it to benchmark.md; SSH_CONFIG
device: export-there
	@test -n "$$HOST" || { echo "error: HOST is empty; make device HOST=pi@raspberrypi.local" >&2; exit 2; }
	@$(IN_WORKSPACE) "$$PY" "$$SCRIPTS/device.py" --host="$$HOST" --export "$$EXPORT" $(if $(SSH_CONFIG),--ssh_config="$$SSH_CONFIG_FILE")

## draw detections on the test photos: inference_result/
infer: workspace-there
	@$(IN_WORKSPACE) "$$PY" "$$SCRIPTS/inference_main_v2.py" -m "exported_models/$$MODEL/saved_model" \
	  -l annotations/label_map.pbtxt -i images/test -o inference_result/ --score "$$SCORE"

## propose boxes for photos without an XML file, for you to correct: prelabel/voc
prelabel: workspace-there
	@$(IN_WORKSPACE) "$$PY" "$$SCRIPTS/inference_main_v2.py" -m "exported_models/$$MODEL/saved_model" \
	  -l annotations/label_map.pbtxt -i images -o prelabel --save voc --unlabelled --score "$$SCORE"

## show the curves of all models on http://127.0.0.1:PORT; Ctrl-C stops it
tensorboard: workspace-there
	@$(IN_WORKSPACE) "$$PY" "$$SCRIPTS/start_tensorboard.py" --logdir models --host "$$TENSORBOARD_HOST" --port "$$PORT"

# ---------------------------------------------------------------- demonstrations

VERBS = split tfrecord train eval export infer

.PHONY: demo raccoon
## first success in minutes: draw 300 pictures of cats and dogs, train on them, show what the detector finds
demo: ready
	@"$$PY" scripts/preprocessing/make_sample_dataset.py -o workspace/demo/images
	@$(MAKE) $(VERBS) WORKSPACE=workspace/demo PRETRAINED= FINE_TUNE_CHECKPOINT= BASE_CONFIG=scripts/configs/demo.config \
	  $(call default,STEPS,700) $(call default,BATCH,16) $(call default,EMA,0.99)
	@"$$PY" scripts/contact_sheet.py -i workspace/demo/inference_result -o workspace/demo/demo_result.png
	@$(MAKE) eval WORKSPACE=workspace/demo
	@echo "the annotated test photos: workspace/demo/inference_result; on one sheet: workspace/demo/demo_result.png"

## the tutorial's data set, 200 photos of raccoons: workspace/raccoon
raccoon: ready
	@"$$PY" scripts/preprocessing/fetch_raccoon.py -o workspace/raccoon/images $(if $(DATA),--data="$$DATA")
	@$(MAKE) $(VERBS) WORKSPACE=workspace/raccoon $(call default,STEPS,600)

# ---------------------------------------------------------------- tests

.PHONY: test test-long test-attack test-upstream test-families test-zoo bench-families bench-data bench-infer bench-train bench-eval bench-web lint format
## run the project's tests, two files at a time
test: ready lint
	@TESTS=$${TESTS:--n 2 --dist loadfile --no-loadscope-reorder}; $(call with_words,TESTS) "$$PY" -m pytest -m "not long"

## run only the tests that take minutes each, such as a training that is killed 20 times
test-long: ready
	@$(call with_words,TESTS) "$$PY" -m pytest -m long

## run the attacks that docs/reliability.md lists, short and long: kills, full disks, damaged files, odd names
test-attack: ready
	@TESTS=$${TESTS:--n 2 --dist loadfile --no-loadscope-reorder}; $(call with_words,TESTS) "$$PY" -m pytest -m attack

## run the OD API's own tests on this TensorFlow; FAST=1 runs only those of what this project calls
test-upstream: ready
	@"$$PY" tests/upstream/run_upstream.py $(if $(FAST),--fast)

## take a small model of each family through every command; DOCS=1 updates the tables in docs/models*.md
test-families: ready
	@"$$PY" tests/families/run_families.py $(if $(DOCS),--results docs/models.json)
	@$(if $(DOCS),"$$PY" tests/families/write_models_page.py,:)

## train two steps from each zoo model in ../shared/zoo (real shapes, random weights) on the photos in DATA
test-zoo: ready
	@test -n "$$DATA" || { echo "error: DATA is empty; make test-zoo DATA=folder of photos and XML files" >&2; exit 2; }
	@"$$PY" tests/families/zoo_models.py ../shared/zoo --data="$$DATA"

## measure a training step of each family at its own input size, for the tables in docs/models*.md
bench-families: ready
	@"$$PY" tests/families/run_families.py --time --results docs/models.json
	@"$$PY" tests/families/write_models_page.py

## measure writing and checking 16,000 photos, made from those in DATA, against the tutorial's way: 10 minutes
bench-data: ready
	@test -n "$$DATA" || { echo "error: DATA is empty; make bench-data DATA=folder of the raccoon photos" >&2; exit 2; }
	@"$$PY" tests/bench/bench_data.py -- "$$DATA"

## measure inference against the tutorial's way, on the workspace's photos and on 1,000 and more made from them
bench-infer: workspace-there
	@$(IN_WORKSPACE) "$$PY" "$$CURDIR/tests/bench/bench_infer.py" -m "$$EXPORT/saved_model" -l annotations/label_map.pbtxt \
	  -i images --tflite "$$EXPORT/tflite/model_float32.tflite"

## measure training against upstream's own loop, with MODEL's config: 15 minutes; QUALITY=1: 40 more
bench-train: workspace-there
	@"$$PY" tests/bench/bench_train.py -w "$$WORKSPACE_FOLDER" --config "$$CONFIG" $(if $(QUALITY),--measure step start input quality)

## measure the page of make web and the Python interpreter on the workspace's test photos: 2 minutes
bench-web: export-there
	@scripts/install_web.sh "$$PY" "$$WEB_VENV"
	@$(IN_WORKSPACE) "$$PY" "$$CURDIR/tests/bench/bench_web.py" --export "$$EXPORT" --photos images/test --venv "$$WEB_VENV_FOLDER"

## measure evaluation against upstream's own, with MODEL on the workspace's photos or those in DATA: 15 minutes
bench-eval: workspace-there
	@"$$PY" tests/bench/bench_eval.py -w "$$WORKSPACE_FOLDER" -m "models/$$MODEL" $(if $(DATA),--photos "$$DATA_FOLDER")
	@"$$PY" tests/bench/bench_eval_metrics.py

## check the style of the code
lint: ready
	@"$$PY" -m ruff check --quiet . && "$$PY" -m ruff format --quiet --check .

## format the code
format: ready
	@"$$PY" -m ruff check --fix . && "$$PY" -m ruff format .

# ---------------------------------------------------------------- containers

.PHONY: docker-build docker-demo docker-shell docker-check
## build the image; its commands run as you; see docs/gpu.md
docker-build:
	@TFOD_UID=$$(id -u) TFOD_GID=$$(id -g) docker compose build

## run make demo in the image
docker-demo:
	@docker compose run --rm --user "$$(id -u):$$(id -g)" tfod demo

## open a shell in the image
docker-shell:
	@docker compose run --rm --user "$$(id -u):$$(id -g)" --entrypoint bash tfod

## check the container files, build the image and run it, all without Docker; needs root
docker-check:
	@docker/check.sh

# ---------------------------------------------------------------- cleaning

# What people made stays and is listed: photos that exist only in a split, notes beside a model, an edited pipeline.config.

.PHONY: clean-split clean-records clean-model clean-results clean-demo clean-venv
## remove images/train, images/test, images/val and split.json; the photos in images/ stay
clean-split: workspace-there
	@$(IN_WORKSPACE) "$$PY" "$$SCRIPTS/preprocessing/partition_dataset.py" -i images --remove

## remove the records, the label map and what check and inspect wrote; the rest of annotations/ stays
clean-records: workspace-there
	@$(IN_WORKSPACE) "$$PY" "$$SCRIPTS/clean.py" annotations

## remove models/MODEL: its checkpoints, curves and metrics
clean-model: workspace-there
	@$(IN_WORKSPACE) "$$PY" "$$SCRIPTS/clean.py" "models/$$MODEL"

## remove exported_models/MODEL, inference_result, stats and compare
clean-results: workspace-there
	@$(IN_WORKSPACE) "$$PY" "$$SCRIPTS/clean.py" "$$EXPORT" inference_result stats compare

## remove workspace/demo
clean-demo: ready
	@test ! -d workspace/demo/images || "$$PY" scripts/preprocessing/partition_dataset.py -i workspace/demo/images --remove
	@"$$PY" scripts/clean.py workspace/demo

## remove the environments
clean-venv:
	@scripts/clean_venv.sh "$$VENV" "$$LABEL_VENV" "$$WEB_VENV"
