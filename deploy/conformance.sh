#!/usr/bin/env bash
# Runs the suite of all drivers on a real cluster: deploy/conformance.sh NAMESPACE POD_IMAGE [IMAGE]
#
# The cluster is that of KUBECONFIG. POD_IMAGE is the image of Sluiceway (deploy/Dockerfile); IMAGE has a shell, tar, Python at
# /usr/bin/python3 and git, and nodes can pull it. Tests that look at processes of this machine are left out.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -ge 2 ] || { sed -n '2,5s/^# \?//p' "$0"; exit 2; }
export SLUICE_TEST_KUBECONFIG=${KUBECONFIG:-$HOME/.kube/config}
export SLUICE_TEST_NAMESPACE=$1 SLUICE_TEST_POD_IMAGE=$2 SLUICE_TEST_IMAGE=${3:-docker.io/library/buildpack-deps:bookworm}
here="not outlives and not fork_bomb and not process_that_runs_away and not stopped_at_once and not all_that_it_started"
exec .venv/bin/python -m pytest -q -n 0 -k "kubernetes and $here" \
  tests/contract/drivers/test_driver_contract.py tests/contract/drivers/test_command_output.py \
  tests/contract/drivers/test_archives.py
