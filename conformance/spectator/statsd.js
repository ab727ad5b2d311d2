// Writes every kind of metric with hot-shots.
'use strict';

const StatsD = require('hot-shots');

const client = new StatsD({
  host: '127.0.0.1',
  port: Number(process.argv[2]),
  prefix: 'app.',
  globalTags: { env: 'test' },
  errorHandler: (error) => {
    console.error(error);
    process.exitCode = 1;
  },
});
// A sampled metric is always sent.
Math.random = () => 0;
client.increment('c');
client.increment('c', 2, ['k:v']);
client.increment('c.sampled', 1, 0.5);
client.decrement('c.down');
client.gauge('g', 1.5);
client.timing('t', 250);
client.timing('t.sampled', 500, 0.5);
client.histogram('h', 3);
client.histogram('h', 4);
client.distribution('d', 5);
client.set('s', 7);
client.event('title', 'text');
client.check('service', client.CHECKS.OK);
client.close(() => {});
