// A database beside the tests. The first container runs the steps; the others are services on localhost, and the steps
// start when they are ready.
{
  runs: [{
    name: 'services',
    tasks: [{
      name: 'test with a database',
      runtime: {
        containers: [
          { image: 'python:3.12' },
          {
            image: 'postgres:16',
            environment: { POSTGRES_PASSWORD: 'test' },
            ready: { command: 'pg_isready -U postgres' },
            volumes: [{ path: '/var/lib/postgresql/data', tmpfs: { size: '512Mi' } }],
          },
          { image: 'redis:7', ready: 6379 },
        ],
      },
      environment: { DATABASE_URL: 'postgres://postgres:test@localhost/postgres' },
      steps: [{ clone: {} }, { run: 'make integration-test' }],
    }],
  }],
}
