#!/usr/bin/env bash
# Takes out one mend after the other and looks whether the adversary finds it.
#
#   scripts/mutants.sh             all of tests/adversary/mutants
#   scripts/mutants.sh NAME ...    these
#   scripts/mutants.sh unmutated   the host as it is, which must hold
#
# The sources are copied to target/mutants/tree with what is not committed;
# yours stay as they are. The first build there compiles everything (several
# minutes), each mutant only the host's own crates. BUDGET=SECONDS is used
# instead of the budget that each patch names; one that says "With: --soak" is a
# leak, and the soak has to find it.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
patches=$root/tests/adversary/mutants
work=${CARGO_TARGET_DIR:-$root/target}/mutants
tree=$work/tree
cargo=${CARGO:-cargo}

fail() {
    echo "error: $1" >&2
    [ -z "${2:-}" ] || echo "hint: $2" >&2
    exit 2
}

header() { # FILE WORD: what a patch says of itself
    sed -n "/^diff /q; s/^$2: *//p" "$1"
}

# The tree is below this repository, and is none itself.
apply() { # FILE [OPTION ...]
    (cd "$tree" && GIT_CEILING_DIRECTORIES=$work git apply "${@:2}" "$1")
}

build() { # What cargo says is shown when it fails.
    (cd "$tree" && CARGO_TARGET_DIR=$work/target "$cargo" build --workspace --bin openline) \
        >"$work/build.log" 2>&1 || { cat "$work/build.log" >&2; fail "$1 does not compile"; }
}

# With new times: cargo goes by them, and what is built may be a mutant.
copy_sources() {
    rm -rf "$tree"
    mkdir -p "$tree"
    # Files that were removed and not committed are still listed.
    (cd "$root" && git ls-files -z --cached --others --exclude-standard \
        | while IFS= read -r -d '' file; do [ -e "$file" ] && printf '%s\0' "$file"; done \
        | tar --create --null --files-from=- --file=-) | tar --extract --touch --directory="$tree"
}

# The adversary itself is that of your tree.
find_adversary() {
    (cd "$root" && "$cargo" test --workspace --test adversary --no-run --message-format=json 2>/dev/null) \
        | sed -n 's/.*"name":"adversary".*"executable":"\([^"]*\)".*/\1/p' | tail -1
}

# NAME BUDGET INVARIANTS [OPTION ...]: says what was found; fails if none of these was broken.
try() {
    local name=$1 budget=$2 until=$3 log=$work/$1.log began=$SECONDS code=0
    "$adversary" --binary "$work/target/debug/openline" --folder "$work/plans/$name" \
        --seed 1 --budget "$budget" --until "$until" --shrink 0 "${@:4}" >"$log" 2>&1 || code=$?
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
           # What else is broken may be chance.
           if ! grep -qE "^  (${until//,/|}): at " "$log"; then
               echo "$name: not found in $took s; broken was ${broken//,/, }, seeds $seeds"
               return 1
           fi
           echo "$name: found${seeds:+, seed $seeds}, $took s, ${broken//,/, }" ;;
        *) cat "$log" >&2; fail "the adversary ended with $code" ;;
    esac
}

command -v git >/dev/null || fail "there is no git"
git -C "$root" rev-parse --git-dir >/dev/null 2>&1 || fail "$root is no git checkout"
if [ $# -eq 0 ]; then
    for patch in "$patches"/*.patch; do set -- "$@" "$(basename "$patch" .patch)"; done
fi
for name; do
    [ "$name" = unmutated ] || [ -f "$patches/$name.patch" ] \
        || fail "there is no mutant \`$name\`" "those that are there: $(cd "$patches" && ls -- *.patch | sed 's/\.patch$//' | paste -sd ' ')"
done

adversary=$(find_adversary)
[ -x "$adversary" ] || fail "the adversary does not compile" "\`cargo test --workspace --test adversary --no-run\` says why"
copy_sources
missed=0
for name; do
    if [ "$name" = unmutated ]; then
        build "the host"
        try "$name" "${BUDGET:-120}" none || true
        grep -q '^seed .* BROKEN' "$work/unmutated.log" || continue
        echo "the host itself does not hold: $work/unmutated.log" >&2
        missed=$((missed + 1))
        continue
    fi
    patch=$patches/$name.patch
    apply "$patch" --check 2>/dev/null \
        || fail "the mutant \`$name\` does not apply to the sources any more" "make $patch anew against what has become of the code that it takes out"
    budget=$(header "$patch" Budget)
    read -ra with <<<"$(header "$patch" With)"
    apply "$patch"
    build "the mutant \`$name\`"
    # Names between commas; what is in parentheses is for people.
    breaks=$(header "$patch" Breaks | sed 's/ *([^)]*)//g; s/\.$//; s/, */,/g')
    try "$name" "${BUDGET:-${budget% s}}" "$breaks" ${with[@]+"${with[@]}"} || missed=$((missed + 1))
    apply "$patch" --reverse
done
[ "$missed" -eq 0 ] || { echo "$missed of $# are not as they should be" >&2; exit 1; }
