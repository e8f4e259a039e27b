#!/usr/bin/env bash
# Market-1501 from its archives and ready-made poses to a scored network, in a given time, on a machine without a network.
#
#   scripts/train_market.sh --data DIR --poses DIR --out DIR --minutes N [more]
#
#   --data DIR       folder with archives (*.tar.gz) of bounding_box_train, query and bounding_box_test, or these folders
#   --poses DIR      what `reidprep extract-poses` made of them
#   --out DIR        gets shards/, run/, evaluation/, evaluation-flip/, benchmarks.txt and times.txt
#   --minutes N      for everything; training gets what the rest leaves
#   --recipe NAME    shipped recipe or YAML file          [default: attention-driven-scratch]
#   --set KEY=VALUE  a value of the recipe; may be repeated
#   --reserve N      seconds kept for the evaluation      [default: 120]
#   --wheels DIR     packages to install first, without a network
#   --device NAME    auto, cpu or cuda                    [default: auto]
#   --workers N      processes that decode                [default: cores less two, at least one]
#   --skip-benchmarks  of the step and of the part branches, which take up to a sixth of the time before training
#
# Given again after it was cut off, it goes on with the training that was begun.
#
# Needs python3 with PyTorch, Lightning, h5py, OpenCV and ONNX Runtime; what else pyproject.toml names can be wheels.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
recipe=attention-driven-scratch reserve=120 wheels='' device=auto benchmarks=yes sets=()
data='' poses='' out='' minutes='' workers=$(($(nproc) > 3 ? $(nproc) - 2 : 1))
usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; }
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) usage; exit 0 ;;
    --skip-benchmarks) benchmarks=no; shift; continue ;;
    --data | --poses | --out | --minutes | --recipe | --set | --reserve | --wheels | --device | --workers) ;;
    *) echo "Error: $1 is no option" >&2; usage >&2; exit 2 ;;
  esac
  [ $# -gt 1 ] || { echo "Error: $1 needs a value" >&2; exit 2; }
  if [ "$1" = --set ]; then sets+=(--set "$2"); else declare "${1#--}=$2"; fi
  shift 2
done
for name in data poses out minutes; do
  [ -n "${!name}" ] || { echo "Error: --$name is missing; $0 --help lists what is needed" >&2; exit 2; }
done
mkdir -p "$out"
out=$(cd "$out" && pwd)
left() { python3 -c "import sys; print(max(0, int(60 * float(sys.argv[1])) - $SECONDS))" "$minutes"; }
mark() { echo "$SECONDS s: $*" | tee -a "$out/times.txt"; }

# The package from this folder, unless it is installed.
mkdir -p "$out/site"
[ -z "$wheels" ] || python3 -m pip install -q --no-index --no-deps --no-compile --upgrade --target "$out/site" "$wheels"/*.whl
ln -sfn "$root/cli" "$out/site/reid_cli"
export PYTHONPATH="$out/site:$root${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
reidprep=(python3 -c 'from reid_cli.reidprep.main import main; main()')
reidtrain=(python3 -c 'from reid_cli.reidtrain.main import main; main()')

images=$data
if compgen -G "$data/*.tar.gz" > /dev/null; then
  images=$out/images
  mkdir -p "$images"
  # One after the other: two that make the folder they have in common at the same time fail.
  for archive in "$data"/*.tar.gz; do tar -xzf "$archive" -C "$images"; done
fi
# Archives may have a folder around the three.
query=$(find "$images" -maxdepth 3 -type d -name query -print -quit)
[ -n "$query" ] || { echo "Error: $data holds neither a folder named query nor an archive of one" >&2; exit 1; }
images=$(dirname "$query")
mark "images in $images"
"${reidprep[@]}" build-shards "$poses" "$out/shards" --source "$images" --with-image || [ $? = 3 ] # some skipped
mark "shards"

if [ "$benchmarks" = yes ]; then
  measured=$device
  [ "$device" != auto ] || measured=$(python3 -c 'import torch; print("cuda" if torch.cuda.is_available() else "cpu")')
  each=$(python3 -c "import sys; print(int(5 * float(sys.argv[1])))" "$minutes") # a sixth of the time for both
  {
    timeout --foreground "$each" python3 "$root/benchmarks/part_branches.py" --device "$measured" --batch 64 --bf16 --rounds 5
    timeout --foreground "$each" python3 "$root/benchmarks/training_step.py" "$out/shards" --recipe "$recipe" "${sets[@]}" \
      --device "$measured" --batch 64 --steps 20 --workers "$workers" --only "channels last" "channels last, bf16"
  } > "$out/benchmarks.txt" 2>&1 || echo "a benchmark failed or took too long; see $out/benchmarks.txt" >&2
  mark "benchmarks"
fi

seconds=$(($(left) - reserve))
[ "$seconds" -ge 10 ] || { echo "Error: $(left) s are left, $reserve of them for the evaluation: give more --minutes" >&2; exit 1; }
# A run that was cut off goes on as it was begun: what is left of its schedule takes no longer than the whole.
training=$(sed -n 's/^training: {max_minutes: \(.*\)}$/\1/p' "$out/run/recipe.yaml" 2> /dev/null || true)
# Should training overrun its time after all, SIGTERM leaves a checkpoint.
timeout --foreground "$(left)" "${reidtrain[@]}" fit "$out/shards" --out "$out/run" --recipe "$recipe" "${sets[@]}" \
  --device "$device" --workers "$workers" --set validation.every=0 \
  --set "training.max_minutes=${training:-$(python3 -c "print(round($seconds / 60, 3))")}"
mark "trained"
for way in "" flip; do
  [ "$(left)" -gt 5 ] || break
  if timeout --foreground "$(left)" "${reidtrain[@]}" evaluate "$out/run" "$out/shards" --rerank ${way:+--$way} \
    --out "$out/evaluation${way:+-$way}" --batch-size 256 --device "$device" --workers "$workers"; then
    mark "evaluated${way:+ with --$way}"
  else
    mark "not evaluated${way:+ with --$way} in the time given"
  fi
done
