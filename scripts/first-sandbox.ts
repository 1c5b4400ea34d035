import { readFile } from 'node:fs/promises';
import { Sandbox } from '@opencomputer/sdk';
import { launcherFiles, readConfig } from '@opencomputer/standalone/config';

// The end of the quick start: a first sandbox, a command in it, and how to go on.
const config = readConfig(process.env);
const apiUrl = `http://${config.address.replace(/^0\.0\.0\.0:/, '127.0.0.1:')}`;
const apiKey = (await readFile(launcherFiles(config.dataDir).apiKey, 'utf8')).trim();

const started = performance.now();
process.stdout.write(
  '\ncreating a sandbox (the first of a shape boots once and is kept as a snapshot) ...\n',
);
const sandbox = await Sandbox.create({ apiUrl, apiKey });
const created = performance.now();
const result = await sandbox.exec.run('echo "Hello from $(uname -sr) on $(hostname)"');
const finished = performance.now();
process.stdout.write(`${sandbox.sandboxId} created in ${Math.round(created - started)} ms\n`);
process.stdout.write(
  `its first command took ${Math.round(finished - created)} ms and said: ${result.stdout}`,
);
await sandbox.kill();

process.stdout.write(`
OpenComputer runs at ${apiUrl}. To go on:

  ./oc shell $(./oc create)     a terminal in a new sandbox
  ./oc help                     everything else

Or from a program:

  export OPENCOMPUTER_API_URL=${apiUrl}
  export OPENCOMPUTER_API_KEY=$(cat ${launcherFiles(config.dataDir).apiKey})

  cat > hello.mjs <<'EOF'
  import { Sandbox } from "@opencomputer/sdk";
  const sandbox = await Sandbox.create();
  const result = await sandbox.exec.run("echo Hello from $(uname -a)");
  console.log(result.stdout);
  await sandbox.kill();
  EOF
  node hello.mjs

  ${apiUrl}/sdk          the clients for npm and pip, for other folders and hosts
  ${apiUrl}/docs         the HTTP API
  npm run doctor         what this host can do
  npm stop               stop the platform; sandboxes go on running
`);
