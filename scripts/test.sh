#!/usr/bin/env bash
# Runs all tests in several processes: scripts/test.sh WORKERS [MARKS]; without MARKS, those not marked `long`. Tests that failed run once more, one at a time: they start real
# processes, and a busy machine can exceed any time limit. Those that pass then are listed as unstable. More than ten are a
# fault of the change, and do not run again.
set -uo pipefail
cd "$(dirname "$0")/.."
workers=$1
marks=${2:-not long}
failed=.pytest_cache/v/cache/lastfailed

# What failed in an earlier run is no failure of this one.
rm -f "$failed"
.venv/bin/pytest -n "$workers" --dist loadfile --no-loadscope-reorder -m "$marks"
code=$?
[ "$code" = 1 ] && [ -s "$failed" ] || exit "$code"
first=$(sed -n 's/^ *"\(.*\)": true,\?$/\1/p' "$failed")
[ "$(wc -l <<<"$first")" -le 10 ] || exit "$code"

echo "test: these failed, and run once more, one at a time:"
sed 's/^/  /' <<<"$first"
.venv/bin/pytest --last-failed --last-failed-no-failures none
code=$?
if [ "$code" = 0 ]; then
  echo "test: unstable, since they passed now; each is a fault to mend (the report is above):"
  sed 's/^/  /' <<<"$first"
fi
exit "$code"
