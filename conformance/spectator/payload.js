// Writes every kind of meter with nflx-spectator 1.0, which posts them as it stops.
'use strict';

const { Registry } = require('nflx-spectator');

const registry = new Registry({
  uri: process.argv[2],
  timeout: 60000,
  commonTags: { 'nf.app': 'node' },
});
registry.start();
registry.counter('c', { id: 'a' }).increment();
registry.counter('c', { id: 'a' }).increment(2);
registry.gauge('g').set(1.5);
registry.timer('t').record(0, 500000000);
registry.timer('t').record(0, 250000000);
registry.distributionSummary('d').record(3);
registry.distributionSummary('d').record(4);
registry.percentileTimer('T').record(0, 100000000);
registry.percentileDistSummary('D').record(42);
registry.bucketCounter('b', (amount) => (amount > 5 ? 'large' : 'small')).record(7);
registry.stop((error) => {
  if (error) {
    console.error(error);
    process.exitCode = 1;
  }
});
