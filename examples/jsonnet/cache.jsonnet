// Downloads that later runs find again: the key has the checksum of what they depend on.
{
  runs: [{
    name: 'cache',
    tasks: [{
      name: 'build',
      runtime: { containers: [{ image: 'golang:1.23' }] },
      environment: { GOMODCACHE: '/root/modules' },
      steps: [
        { clone: {} },
        // The exact cache, or else the newest one, of which most is still right.
        { restore_cache: { keys: ['go-{{ checksum "go.sum" }}', 'go-'], dest_dir: '/root/modules' } },
        { run: 'go build ./...' },
        { save_cache: { key: 'go-{{ checksum "go.sum" }}', contents: [{ source_dir: '/root/modules' }] } },
      ],
    }],
  }],
}
