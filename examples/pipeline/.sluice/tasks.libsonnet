// How tasks of this repository look.
local runtime = {
  // The machine itself, inside of a sandbox: nothing is pulled.
  containers: [{ image: 'host' }],
};

{
  // A task of one command, without the repository.
  plain(name, command): {
    name: name,
    runtime: runtime,
    steps: [{ run: command }],
  },

  // A task whose steps run in a clone of this repository.
  cloned(name, steps): {
    name: name,
    runtime: runtime,
    steps: [{ clone: {} }] + steps,
  },
}
