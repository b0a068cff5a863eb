"""The script of `clone` steps. Its input is in variables, which `steps.clone_command` checks.

A deploy key is never in a file. The script runs below an `ssh-agent`, which it gives the key and which ends with it;
ssh gets the public half to choose the key by. Only the processes of this step have the key in their environment.
"""

from __future__ import annotations

CLONE = r"""
set -eu
if ! command -v git > /dev/null; then
  echo "the image of this task has no git, which a clone step needs: use an image that has it"
  exit 127
fi
if [ -n "${SLUICE_CLONE_KEY:-}" ] && [ -z "${SSH_AUTH_SOCK:-}" ]; then
  for program in ssh ssh-add ssh-agent; do
    if ! command -v "$program" > /dev/null; then
      echo "the repository is cloned over SSH, and there is no program $program: install the package openssh-client"
      exit 1
    fi
  done
  # The path of its socket can have a hundred bytes, which those of a pod may exceed.
  temporary=${TMPDIR:-/tmp}
  export TMPDIR=/tmp
  exec ssh-agent env TMPDIR="$temporary" /bin/sh -e "$0"
fi
folder=$(mktemp -d)
config=$folder/config ssh_log=$folder/ssh.log
refused='Permission denied|Host key verification failed|no matching host key'
finish() {
  status=$?
  # It would end by itself, up to 10 s later.
  if [ -n "${SSH_AGENT_PID:-}" ]; then kill "$SSH_AGENT_PID" || true; fi
  if [ "$status" -ne 0 ] && [ -s "$ssh_log" ]; then
    tail -n 5 "$ssh_log"
    if grep -q 'Permission denied' "$ssh_log"; then
      echo "The git host does not accept the deploy key of the project. Add it to the repository there, with read" \
        "access; sluice project get PROJECT shows it."
    elif grep -qE "$refused" "$ssh_log"; then
      echo "The git host has another SSH host key than is set for it, so nothing was cloned. If it has a new key," \
        "compare it with what its operator publishes, and set it: sluice remote-source update NAME --ssh-host-key KEY"
    fi
  fi
  rm -rf "$folder"
}
trap finish EXIT
# The mounted repository belongs to another user: that is meant.
printf '[safe]\n\tdirectory = *\n[init]\n\tdefaultBranch = main\n[advice]\n\tdetachedHead = false\n' > "$config"
export GIT_CONFIG_GLOBAL="$config" GIT_CONFIG_NOSYSTEM=1 GIT_TERMINAL_PROMPT=0 GIT_ASKPASS=true
export GIT_ALLOW_PROTOCOL="$SLUICE_CLONE_PROTOCOLS"
export GIT_SSH_COMMAND='ssh -oBatchMode=yes -oStrictHostKeyChecking=accept-new'
if [ -n "${SLUICE_CLONE_KEY:-}" ]; then
  printf '%s\n' "$SLUICE_CLONE_KEY" | ssh-add -q -
  unset SLUICE_CLONE_KEY
  ssh-add -L > "$folder/key.pub"
  printf '%s\n' "$SLUICE_CLONE_KNOWN_HOSTS" > "$folder/known_hosts"
  GIT_SSH_COMMAND="ssh -F none -oBatchMode=yes -oIdentitiesOnly=yes -oIdentityFile='\"$folder/key.pub\"'"
  GIT_SSH_COMMAND="$GIT_SSH_COMMAND -oPreferredAuthentications=publickey -oStrictHostKeyChecking=yes -oCheckHostIP=no"
  GIT_SSH_COMMAND="$GIT_SSH_COMMAND -oGlobalKnownHostsFile=/dev/null -oUserKnownHostsFile='\"$folder/known_hosts\"'"
  GIT_SSH_COMMAND="$GIT_SSH_COMMAND -E '$ssh_log'"
fi
if [ -n "${SLUICE_CLONE_ORIGIN:-}" ]; then
  # For this host only, also when it redirects or a submodule is elsewhere.
  cat > "$folder/credentials" <<'END'
printf 'username=%s\npassword=%s\n' "$SLUICE_CLONE_USERNAME" "$SLUICE_CLONE_PASSWORD"
END
  export SLUICE_CLONE_HELPER="$folder/credentials"
  printf '[credential "%s"]\n\thelper = "!sh \\"$SLUICE_CLONE_HELPER\\""\n' "$SLUICE_CLONE_ORIGIN" >> "$config"
fi
if [ "$SLUICE_CLONE_PROTOCOLS" = file ]; then
  # The configuration of a submodule or worktree names a working tree that is not there.
  upload_pack='GIT_WORK_TREE=. git-upload-pack'
  url=$SLUICE_CLONE_URL
  if ! [ -r "$url/HEAD" ] && ! [ -r "$url/.git/HEAD" ] && ! [ -f "$url/.git" ]; then
    echo "$SLUICE_CLONE_NAME cannot be read by the user that tasks run as; make it readable by others: chmod -R go+rX"
    exit 1
  fi
fi
# From a shallow repository comes, too, where its history is cut.
fetch() {
  git fetch -q --update-shallow ${upload_pack:+--upload-pack="$upload_pack"} "$@" && return
  code=$?
  # Another way to fetch does not help, and hosts block whoever is refused often.
  if [ -s "$ssh_log" ] && grep -qE "$refused" "$ssh_log"; then exit "$code"; fi
  return "$code"
}
have() { git cat-file -e "$SLUICE_CLONE_SHA^{commit}" 2>/dev/null; }
echo "cloning $SLUICE_CLONE_NAME at $SLUICE_CLONE_SHA"
git init -q ${SLUICE_CLONE_FORMAT:+--object-format="$SLUICE_CLONE_FORMAT"}
git remote remove origin 2>/dev/null || true
git remote add -- origin "$SLUICE_CLONE_URL"
if [ "$SLUICE_CLONE_DEPTH" -gt 0 ]; then
  fetch --no-tags --depth "$SLUICE_CLONE_DEPTH" -- origin "$SLUICE_CLONE_SHA" 2>/dev/null ||
    fetch --no-tags --depth "$SLUICE_CLONE_DEPTH" -- origin "${SLUICE_CLONE_REF:-HEAD}" || true
  have || fetch --unshallow --tags -- origin '+refs/heads/*:refs/remotes/origin/*' 2>/dev/null || true
fi
if [ "$SLUICE_CLONE_DEPTH" -eq 0 ] || ! have; then
  fetch --tags --force -- origin '+refs/heads/*:refs/remotes/origin/*'
  have || [ -z "$SLUICE_CLONE_REF" ] || fetch -- origin "$SLUICE_CLONE_REF" || true
  have || fetch -- origin "$SLUICE_CLONE_SHA"
fi
git checkout -q -f --detach "$SLUICE_CLONE_SHA" --
if [ -n "$SLUICE_CLONE_BRANCH" ]; then
  # Not by `checkout -B`, which refuses names that begin with a dash.
  git update-ref "refs/heads/$SLUICE_CLONE_BRANCH" "$SLUICE_CLONE_SHA"
  git symbolic-ref HEAD "refs/heads/$SLUICE_CLONE_BRANCH"
fi
if [ -n "$SLUICE_CLONE_SUBMODULES" ]; then
  # A submodule never comes from the disk, whatever .gitmodules says.
  GIT_ALLOW_PROTOCOL=https:http:ssh git submodule -q update --init --recursive
fi
[ "$(git rev-parse HEAD)" = "$SLUICE_CLONE_SHA" ]
git log -1 --format='%h %s' --
"""
