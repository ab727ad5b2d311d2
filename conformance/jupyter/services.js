// The session of a front end, through @jupyterlab/services: what JupyterLab does between its start and the end of a notebook.
// Usage: node services.js BASE_URL TOKEN KERNEL…; the last line is `ok` and the median round trip of an execution.

const assert = require('assert');
const { KernelMessage, ServerConnection, ServiceManager } = require('@jupyterlab/services');

const [base, token, ...kernels] = process.argv.slice(2);
const settings = ServerConnection.makeSettings({
  baseUrl: base,
  wsUrl: base.replace(/^http/, 'ws'),
  token,
  appendToken: true,
  WebSocket: require('ws')
});

const CODE = { python3: ['print(6 * 7)', '42\n'], bash: ['echo $((6 * 7))', '42\n'], ir: ['cat(6 * 7, "\\n")', '42 \n'] };

async function run(kernel, code) {
  let text = '';
  const future = kernel.requestExecute({ code });
  future.onIOPub = message => {
    if (KernelMessage.isStreamMsg(message)) text += message.content.text;
    if (KernelMessage.isErrorMsg(message)) text += message.content.evalue;
  };
  const reply = await future.done;
  return [reply.content.status, text];
}

(async () => {
  const manager = new ServiceManager({ serverSettings: settings });
  await manager.ready;
  console.log("kernelspecs", Object.keys(manager.kernelspecs.specs.kernelspecs).join(' '));

  // Contents: make, save, checkpoint, rename, list, delete.
  const made = await manager.contents.newUntitled({ type: 'notebook' });
  await manager.contents.save(made.path, {
    type: 'notebook', format: 'json',
    content: { cells: [], metadata: {}, nbformat: 4, nbformat_minor: 5 }
  });
  const checkpoint = await manager.contents.createCheckpoint(made.path);
  assert((await manager.contents.listCheckpoints(made.path)).some(known => known.id === checkpoint.id));
  const renamed = await manager.contents.rename(made.path, 'session å.ipynb');
  const listed = await manager.contents.get('');
  assert(listed.content.some(file => file.path === renamed.path), 'the renamed notebook is listed');

  // Events reach a subscriber.
  let seen;
  const event = new Promise(resolve => { seen = resolve; });
  manager.events.stream.connect((_, event) => { if (event.action === 'copy') seen(event); });
  for (let tries = 0; ; tries++) {
    await manager.contents.copy(renamed.path, '');
    const arrived = await Promise.race([event, new Promise(resolve => setTimeout(resolve, 250, null))]);
    if (arrived) break;
    assert(tries < 40, 'an event arrives');
  }

  // Each kernel runs code in a session.
  let median = 0;
  for (const name of kernels) {
    const session = await manager.sessions.startNew({
      path: `${name}.ipynb`, name: `${name}.ipynb`, type: 'notebook', kernel: { name }
    });
    const kernel = session.kernel;
    const info = await kernel.info;
    const [code, expected] = CODE[name];
    const [status, text] = await run(kernel, code);
    assert.deepStrictEqual([name, status, text], [name, 'ok', expected]);
    if (name === 'python3') {
      const [failed] = await run(kernel, '1 / 0');
      assert.strictEqual(failed, 'error');
      // Standard input, comms, completion, inspection.
      const asks = kernel.requestExecute({ code: 'print(input("name? "))', allow_stdin: true });
      let answer = '';
      asks.onStdin = message => kernel.sendInputReply({ value: 'ann', status: 'ok' }, message.header);
      asks.onIOPub = message => { if (KernelMessage.isStreamMsg(message)) answer += message.content.text; };
      await asks.done;
      assert(answer.includes('ann'), 'standard input is answered');
      const completed = await kernel.requestComplete({ code: 'impo', cursor_pos: 4 });
      assert(completed.content.matches.includes('import'));
      await kernel.interrupt();
      await kernel.restart();
      assert.strictEqual((await run(kernel, 'print(1)'))[1], '1\n');
      const times = [];
      for (let i = 0; i < 50; i++) {
        const start = process.hrtime.bigint();
        await kernel.requestExecute({ code: 'pass' }).done;
        times.push(Number(process.hrtime.bigint() - start) / 1e6);
      }
      median = times.sort((a, b) => a - b)[25];
    }
    console.log(name, info.language_info.name, 'ran');
    await session.shutdown();
  }

  // A terminal.
  if (manager.terminals.isAvailable()) {
    const terminal = await manager.terminals.startNew();
    let screen = '';
    const shown = new Promise(resolve => terminal.messageReceived.connect((_, message) => {
      if (message.type === 'stdout') screen += message.content[0];
      if (screen.includes('term-42')) resolve();
    }));
    terminal.send({ type: 'set_size', content: [24, 80, 0, 0] });
    terminal.send({ type: 'stdin', content: ['echo term-$((6*7)); stty size\r'] });
    await shown;
    await manager.terminals.shutdown(terminal.name);
    console.log('terminal ran');
  }
  await manager.contents.delete(renamed.path);
  console.log(`ok; median round trip of an execution ${median.toFixed(1)} ms`);
  process.exit(0);
})().catch(error => { console.error(error); process.exit(1); });
setTimeout(() => { console.error('took longer than 120 s'); process.exit(1); }, 120000).unref();
