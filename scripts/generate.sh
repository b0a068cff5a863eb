#!/usr/bin/env bash
# Generates the Python code of all protos beside them, and carries their comments over (`comments.py`). The result is
# committed; `--check` fails when it is not up to date.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=$PWD/.venv/bin
temporary=$(mktemp -d)
trap 'rm -rf "$temporary"' EXIT
out=proto
if [ "${1:-}" = --check ]; then
  out=$temporary/proto
  mkdir "$out"
fi

mapfile -t protos < <(cd proto && find . -name '*.proto' -printf '%P\n' | LC_ALL=C sort)
mapfile -t services < <(cd proto && grep -lE '^service ' "${protos[@]}" | LC_ALL=C sort)
[ "$out" != proto ] || find proto -name '*_pb2*.py*' -delete
"$bin/python" -m grpc_tools.protoc -I proto -I third_party --python_out="$out" --pyi_out="$out" \
  --include_source_info --descriptor_set_out="$temporary/protos.binpb" "${protos[@]}"
"$bin/python" -m grpc_tools.protoc -I proto -I third_party --plugin=protoc-gen-mypy_grpc="$bin/protoc-gen-mypy_grpc" \
  --grpc_python_out="$out" --mypy_grpc_out=quiet:"$out" "${services[@]}"
"$bin/python" scripts/comments.py "$temporary/protos.binpb" "$out"

if [ "$out" != proto ]; then
  if ! diff -r --exclude='*.proto' --exclude=__pycache__ --exclude='*.binpb' --exclude=py.typed "$out" proto; then
    echo "generated code is not up to date; run: make generate" >&2
    exit 1
  fi
fi
