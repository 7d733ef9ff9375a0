#!/usr/bin/env bash
# Shows that the models can fail: puts one fault at a time into a copy of the
# sources, and expects a model to find it. Nothing in the tree is changed.
#
#     host/models/mutants/check.sh [NAME...]
set -euo pipefail
cd "$(dirname "$0")/../../.."

root=$PWD
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target/models}

# Compiling has a time limit of its own: on a busy machine it takes longer than
# the models.
run() {
    local test=(cargo test --quiet -p openline-models-loom -p openline-models-shuttle)
    (cd "$copy" && timeout 1200 "${test[@]}" --no-run && timeout 300 "${test[@]}") >"$copy/log" 2>&1
}

git ls-files -z | xargs -0 cp --parents --no-dereference --target-directory="$copy"
run || { cat "$copy/log"; echo "error: the models fail without a fault" >&2; exit 1; }
missed=0
patches=("${@/%/.patch}")
[ $# -gt 0 ] || patches=("$root"/host/models/mutants/*.patch)
for patch in "${patches[@]}"; do
    name=$(basename "$patch" .patch)
    patch=$root/host/models/mutants/$name.patch
    patch --quiet --directory="$copy" --strip=1 <"$patch"
    status=0; run || status=$?
    # A panic while a checker takes a failed schedule apart aborts the tests,
    # which counts as found. Only a fault that does not compile does not count.
    if grep -q 'could not compile' "$copy/log"; then
        echo "$name: does not compile"
        missed=1
    elif [ "$status" = 101 ]; then
        echo "$name: found: $(grep -oE "^thread '[a-z_]+'.* panicked" "$copy/log" | cut -d"'" -f2 | sort -u | paste -sd' ')"
    else
        echo "$name: NOT FOUND (exit status $status)"
        missed=1
    fi
    patch --quiet --reverse --directory="$copy" --strip=1 <"$patch"
done
exit "$missed"
