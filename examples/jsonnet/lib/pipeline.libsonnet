// Parts that the configurations of a repository share. Imports reach the files of the same commit, and nothing else.
{
  runtime(image): { containers: [{ image: image }] },

  task(name, image, commands, depends=[]): {
    name: name,
    runtime: $.runtime(image),
    depends: depends,
    steps: [{ clone: {} }] + [{ run: command } for command in commands],
  },
}
