#!/bin/sh
# Runs a part of the test suite: sh scripts/test.sh MODULE, or unittest's own arguments.
set -eu
echo "python: $(python3 --version), hash seed: ${PYTHONHASHSEED:-random}"
exec python3 -B -m unittest "$@" --verbose
