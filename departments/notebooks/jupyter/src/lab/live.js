// A page that is opened while a cell runs goes on live.
//
// JupyterLab binds what a kernel publishes to a cell by the id of a request that the same page sent. This extension asks the server
// for the runs that no page shows (POST api/kernels/ID/runs), and shows what each has put out whenever the kernel publishes more of it. It is
// then this page's run: the page saves it, as it saves its own.
//
// It is a module federation container without a bundler: the page gives `init` the modules that its parts share.
(() => {
  let shared;

  const module = async name => {
    const versions = Object.values(shared[name] ?? {});
    if (!versions.length) {
      throw new Error(`this JupyterLab shares no ${name}`);
    }
    return (await versions[0].get())();
  };

  const plugin = (INotebookTracker, { URLExt }, { ServerConnection }) => {
    const shortest = 250; // milliseconds between two looks at a run, and at most a third of the time

    const ask = async (app, path, init = {}) => {
      const settings = app.serviceManager.serverSettings;
      const url = URLExt.join(settings.baseUrl, 'api/kernels', ...path.map(encodeURIComponent));
      const answer = await ServerConnection.makeRequest(url, init, settings);
      return answer.ok ? answer.json() : null;
    };

    const cellOf = (panel, run) => {
      for (const cell of panel.content.model?.cells ?? []) {
        if (cell.id === run.cell && cell.type === 'code') {
          return cell;
        }
      }
      return null;
    };

    /** An output as a text to compare, in whatever order its members are. */
    const text = output => JSON.stringify(Object.entries(output).sort(([a], [b]) => (a < b ? -1 : 1)));

    /** Shows a run in its cell, touching only the outputs that have changed. */
    const show = (panel, run) => {
      const cell = cellOf(panel, run);
      if (!cell) {
        return;
      }
      const outputs = cell.outputs;
      if (outputs.length > run.outputs.length) {
        outputs.clear();
      }
      run.outputs.forEach((output, index) => {
        if (index >= outputs.length) {
          outputs.add(output);
        } else if (text(outputs.get(index).toJSON()) !== text(output)) {
          outputs.set(index, output);
        }
      });
      cell.executionCount = run.execution_count;
      cell.executionState = run.is_over ? 'idle' : 'running';
    };

    const follow = (app, panel) => {
      const context = panel.sessionContext;
      const runs = new Map(); // request → when it may be looked at again
      let kernel = null;

      const look = async request => {
        const from = kernel;
        const entry = runs.get(request);
        if (!entry || entry.pending) {
          return;
        }
        entry.pending = true;
        const wait = entry.next - performance.now();
        if (wait > 0) {
          await new Promise(resolve => setTimeout(resolve, wait));
        }
        entry.pending = false; // what comes from now on is looked at anew
        const began = performance.now();
        const run = await ask(app, [from.id, 'runs', request]).catch(() => null);
        entry.next = performance.now() + Math.max(shortest, 2 * (performance.now() - began));
        if (panel.isDisposed || kernel !== from || !run) {
          runs.delete(request);
          return;
        }
        show(panel, run);
        if (run.is_over) {
          runs.delete(request);
        }
      };

      const hear = (_, message) => {
        const request = message.parent_header?.msg_id;
        if (runs.has(request)) {
          void look(request);
        }
      };

      const take = async () => {
        const current = context.session?.kernel ?? null;
        // The server knows the page's session once its socket is open.
        if (current === kernel || (current && current.connectionStatus !== 'connected')) {
          return;
        }
        kernel?.iopubMessage.disconnect(hear);
        runs.clear();
        kernel = current;
        if (!kernel) {
          return;
        }
        kernel.iopubMessage.connect(hear);
        await panel.context.ready;
        const body = JSON.stringify({ session: kernel.clientId });
        const found = await ask(app, [current.id, 'runs'], { method: 'POST', body }).catch(() => null);
        const mine = (found ?? []).filter(run => run.path === panel.context.path);
        if (panel.isDisposed || kernel !== current || !mine.length) {
          return;
        }
        // The server has written the file until now; whoever saves has to have seen that.
        if (!panel.context.model.dirty) {
          await panel.context.revert();
        }
        for (const run of mine) {
          runs.set(run.request, { next: 0, pending: false });
          show(panel, run);
          void look(run.request);
        }
      };

      const attempt = () => void take().catch(error => console.warn('backlot: the run is not shown live', error));
      context.kernelChanged.connect(attempt);
      context.connectionStatusChanged.connect(attempt);
      panel.disposed.connect(() => kernel?.iopubMessage.disconnect(hear));
      attempt();
    };

    return {
      id: 'backlot-live:plugin',
      description: 'Shows a run that outlived its page.',
      autoStart: true,
      requires: [INotebookTracker],
      activate: (app, tracker) => {
        tracker.forEach(panel => follow(app, panel));
        tracker.widgetAdded.connect((_, panel) => follow(app, panel));
      },
    };
  };

  window._JUPYTERLAB = window._JUPYTERLAB ?? {};
  window._JUPYTERLAB['backlot-live'] = {
    init: scope => {
      shared = scope;
    },
    get: async () => {
      const names = ['@jupyterlab/notebook', '@jupyterlab/coreutils', '@jupyterlab/services'];
      const [notebook, coreutils, services] = await Promise.all(names.map(module));
      const made = plugin(notebook.INotebookTracker, coreutils, services);
      return () => ({ __esModule: true, default: made });
    },
  };
})();
