// The same build on several architectures. Each task waits for an executor that has its architecture.
local build(arch) = {
  name: 'build ' + arch,
  runtime: { arch: arch, containers: [{ image: 'golang:1.23' }] },
  steps: [
    { clone: {} },
    { run: 'go build -o dist/app-%s ./cmd/app' % arch },
    { type: 'save_artifacts', name: 'app-' + arch, paths: ['dist/**'] },
  ],
};

{ runs: [{ name: 'architectures', tasks: [build(arch) for arch in ['amd64', 'arm64']] }] }
