#!/usr/bin/env bash
# Takes out one fix after the other and checks that this is noticed, by the
# adversary or by the test that the patch names.
#
#   scripts/mutants.sh             all of tests/adversary/mutants and tests/mutants
#   scripts/mutants.sh adversary   those that the adversary has to find
#   scripts/mutants.sh tests       those that a test has to find
#   scripts/mutants.sh NAME ...    these
#   scripts/mutants.sh unmutated   the host as it is, which the adversary must
#                                  find to hold
#
# The sources are copied to target/mutants/tree with what is not committed;
# yours stay as they are. The first build there compiles everything (several
# minutes), each mutant only the host's own crates. BUDGET=SECONDS is used
# instead of the budget that each patch names; one that says "With: --soak" is a
# leak, and the soak has to find it.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
folders=("$root/tests/adversary/mutants" "$root/tests/mutants")
work=${CARGO_TARGET_DIR:-$root/target}/mutants
tree=$work/tree
cargo=${CARGO:-cargo}
# The longest that a build or the tests of one run may take, in seconds: the
# first build compiles wasmtime.
patience=3600

fail() {
    echo "error: $1" >&2
    [ -z "${2:-}" ] || echo "hint: $2" >&2
    exit 2
}

header() { # FILE WORD: what a patch says of itself
    sed -n "/^diff /q; s/^$2: *//p" "$1"
}

names_in() { # FOLDER
    (cd "$1" && ls -- *.patch | sed 's/\.patch$//')
}

patch_of() { # NAME
    local folder
    for folder in "${folders[@]}"; do
        [ ! -f "$folder/$1.patch" ] || echo "$folder/$1.patch"
    done
}

# The tree is below this repository, and is not a repository itself.
apply() { # FILE [OPTION ...]
    (cd "$tree" && GIT_CEILING_DIRECTORIES=$work git apply "${@:2}" "$1")
}

# Not by a variable, which the tests would pass on to what they build.
in_tree() { # WORD OF CARGO [OPTION ...]
    (cd "$tree" && env -u CARGO_TARGET_DIR timeout "$patience" "$cargo" "$1" --workspace --target-dir "$work/target" "${@:2}")
}

build() { # WHAT WORD OF CARGO [OPTION ...]: what cargo says is shown when it fails.
    in_tree "${@:2}" >"$work/build.log" 2>&1 \
        || { cat "$work/build.log" >&2; fail "$1 does not compile"; }
}

# With new times, because cargo compares them, and the last build may be a
# mutant.
copy_sources() {
    rm -rf "$tree"
    mkdir -p "$tree"
    # Files that were removed and not committed are still listed.
    (cd "$root" && git ls-files -z --cached --others --exclude-standard \
        | while IFS= read -r -d '' file; do [ -e "$file" ] && printf '%s\0' "$file"; done \
        | tar --create --null --files-from=- --file=-) | tar --extract --touch --directory="$tree"
}

# --- Found by the adversary ---

# The adversary itself is that of your tree.
find_adversary() {
    (cd "$root" && "$cargo" test --workspace --test adversary --no-run --message-format=json 2>/dev/null) \
        | sed -n 's/.*"name":"adversary".*"executable":"\([^"]*\)".*/\1/p' | tail -1
}

# NAME BUDGET INVARIANTS [OPTION ...]: prints what was found; fails if none of
# these was broken.
try() {
    local name=$1 budget=$2 until=$3 log=$work/$1.log began=$SECONDS code=0
    local options=(--seed 1 --budget "$budget" --shrink 0 "${@:4}")
    [ "$until" = none ] || options+=(--until "$until")
    "$adversary" --binary "$work/target/debug/openline" --folder "$work/plans/$name" \
        "${options[@]}" >"$log" 2>&1 || code=$?
    local took=$((SECONDS - began))
    local seeds
    seeds=$(sed -n 's/^seed \([0-9]*\): BROKEN.*/\1/p' "$log" | sort -n | paste -sd ' ')
    local broken
    broken=$(sed -n 's/^  \([a-z][a-z ]*\): at [0-9]* ms.*/\1/p' "$log" | sort -u | paste -sd ',')
    case $code in
        0) [ "$until" != none ] || { echo "$name: held for $took s"; return; }
           echo "$name: not found in $took s"
           return 1 ;;
        1) [ -n "$broken" ] || { cat "$log" >&2; fail "the adversary itself failed"; }
           # Other broken invariants may be chance.
           if ! grep -qE "^  (${until//,/|}): at " "$log"; then
               echo "$name: not found in $took s; broken was ${broken//,/, }, seeds $seeds"
               return 1
           fi
           echo "$name: found${seeds:+, seed $seeds}, $took s, ${broken//,/, }" ;;
        *) cat "$log" >&2; fail "the adversary ended with $code" ;;
    esac
}

by_adversary() { # NAME PATCH
    local budget breaks with
    build "the mutant \`$1\`" build --bin openline
    budget=$(header "$2" Budget)
    read -ra with <<<"$(header "$2" With)"
    # Names between commas; text in parentheses is for people.
    breaks=$(header "$2" Breaks | sed 's/ *([^)]*)//g; s/\.$//; s/, */,/g')
    try "$1" "${BUDGET:-${budget% s}}" "$breaks" ${with[@]+"${with[@]}"}
}

# --- Found by a test ---

# `it` means the integration tests, any other word a package with its unit
# tests.
targets_of() { # PACKAGE
    case $1 in
        it) echo --test it ;;
        openline) echo --bin openline ;;
        *) echo --lib ;;
    esac
}

# LOG "TARGETS" TEST ...: runs these tests and no others.
run_tests() {
    local targets
    read -ra targets <<<"$2"
    in_tree test "${targets[@]}" --no-fail-fast -- --exact --show-output "${@:3}" >"$1" 2>&1
}

# A filter that matches nothing would find everything.
ended() { # LOG TEST: `ok` or `FAILED`, if it was run once
    sed -n "s/^test $2 \.\.\. \(.*\)/\1/p" "$1"
}

# PATCH ...: the tests that these name pass without them.
pass_unmutated() {
    local targets patch package test log=$work/unmutated-tests.log
    for targets in "--lib" "--bin openline" "--test it"; do
        local tests=()
        for patch; do
            read -r package test <<<"$(header "$patch" Test)"
            [ "$(targets_of "$package")" != "$targets" ] || tests+=("$test")
        done
        [ ${#tests[@]} -gt 0 ] || continue
        read -ra words <<<"$targets"
        build "the host" test --no-run "${words[@]}"
        run_tests "$log" "$targets" "${tests[@]}" || { cat "$log" >&2; fail "a test fails without a mutant"; }
        for test in "${tests[@]}"; do
            [ "$(ended "$log" "$test")" = ok ] || fail "there is no test \`$test\`, or more than one: $log"
        done
    done
}

by_test() { # NAME PATCH
    local package test words log=$work/$1.log began=$SECONDS
    read -r package test <<<"$(header "$2" Test)"
    read -ra words <<<"$(targets_of "$package")"
    build "the mutant \`$1\`" test --no-run "${words[@]}"
    run_tests "$log" "${words[*]}" "$test" || true
    local took=$((SECONDS - began)) place
    case $(ended "$log" "$test") in
        FAILED) ;;
        ok) if grep -q '^skipped: ' "$log"; then
                echo "$1: not tried, $(grep -m 1 '^skipped: ' "$log")"
                return
            fi
            echo "$1: not found, $test passes"
            return 1 ;;
        *) echo "$1: not found, $test came to no end: $log"
           return 1 ;;
    esac
    # It must fail by its assertion, not by chance.
    if ! grep -qF -- "$(header "$2" Fails)" "$log"; then
        echo "$1: not found, $test fails with other words: $log"
        return 1
    fi
    place=$(sed -n "s/.* panicked at \(.*\):$/\1/p" "$log" | tail -1)
    echo "$1: found, $took s, $place"
}

# --- All of them ---

command -v git >/dev/null || fail "there is no git"
git -C "$root" rev-parse --git-dir >/dev/null 2>&1 || fail "$root is no git checkout"
case "$*" in
    '') mapfile -t names < <(for folder in "${folders[@]}"; do names_in "$folder"; done) ;;
    adversary) mapfile -t names < <(names_in "${folders[0]}") ;;
    tests) mapfile -t names < <(names_in "${folders[1]}") ;;
    *) names=("$@") ;;
esac
adversary=
named=()
for name in "${names[@]}"; do
    patch=$(patch_of "$name")
    if [ -n "$patch" ] && [ -n "$(header "$patch" Test)" ]; then
        named+=("$patch")
        continue
    fi
    [ "$name" = unmutated ] || [ -n "$patch" ] \
        || fail "there is no mutant \`$name\`" "those that are there: $(for folder in "${folders[@]}"; do names_in "$folder"; done | paste -sd ' ')"
    [ -n "$adversary" ] || adversary=$(find_adversary)
    [ -x "$adversary" ] || fail "the adversary does not compile" "\`cargo test --workspace --test adversary --no-run\` says why"
done
copy_sources
pass_unmutated ${named[@]+"${named[@]}"}
missed=0
for name in "${names[@]}"; do
    if [ "$name" = unmutated ]; then
        build "the host" build --bin openline
        try "$name" "${BUDGET:-120}" none || true
        grep -q '^seed .* BROKEN' "$work/unmutated.log" || continue
        echo "the host itself does not hold: $work/unmutated.log" >&2
        missed=$((missed + 1))
        continue
    fi
    patch=$(patch_of "$name")
    apply "$patch" --check 2>/dev/null \
        || fail "the mutant \`$name\` does not apply to the sources any more" "make $patch anew against what has become of the code that it takes out"
    apply "$patch"
    how=by_adversary
    [ -z "$(header "$patch" Test)" ] || how=by_test
    "$how" "$name" "$patch" || missed=$((missed + 1))
    apply "$patch" --reverse
done
[ "$missed" -eq 0 ] || { echo "$missed of ${#names[@]} are not as they should be" >&2; exit 1; }
