#!/bin/sh
# Every Python file must compile, and no line may be longer than 120 characters.
set -eu
export PYTHONDONTWRITEBYTECODE=1
find wordcount tests -name '*.py' | sort | while read -r file; do
    python3 -c 'import ast, sys; ast.parse(open(sys.argv[1], encoding="utf-8").read(), sys.argv[1])' "$file"
    awk -v file="$file" 'length($0) > 120 { print file ":" NR ": too long"; bad = 1 } END { exit bad }' "$file"
    echo "ok $file"
done
