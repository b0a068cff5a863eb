#!/usr/bin/env bash
# Generates the Python code of all protos beside them. The result is committed; `make lint` fails when it is not up to date.
set -eu
cd "$(dirname "$0")/.."
python=.venv/bin/python
find proto -name '*_pb2.py' -o -name '*_pb2.pyi' -o -name '*_pb2_grpc.py' -o -name '*_pb2_grpc.pyi' | xargs -r rm -f
mapfile -t protos < <(find proto -name '*.proto' | LC_ALL=C sort)
mapfile -t services < <(grep -lE '^service ' "${protos[@]}" | LC_ALL=C sort)
"$python" -m grpc_tools.protoc -I proto -I third_party --python_out=proto --pyi_out=proto "${protos[@]}"
"$python" -m grpc_tools.protoc -I proto -I third_party --plugin=protoc-gen-mypy_grpc=.venv/bin/protoc-gen-mypy_grpc \
  --grpc_python_out=proto --mypy_grpc_out=proto "${services[@]}"
