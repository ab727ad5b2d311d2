"""No-op graphs with dask.distributed: two worker processes of one thread. Nothing is kept: a crash loses the run."""

import distributed

import graphs


def item(value):
    return value


def main():
    shape, first, width, runs, directory = graphs.arguments()
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, local_directory=directory
    ) as cluster, distributed.Client(cluster) as client:
        client.gather(client.map(item, range(100), pure=False))  # warm

        def once_map(_):
            return client.gather(client.map(item, range(first), pure=False))

        def once_dag(_):
            steps = [client.submit(item, place, pure=False) for place in range(width)]
            for layer in range(1, first):
                for place in range(width):
                    a, b = (steps[up * width + at] for up, at in graphs.parents(layer, place, width))
                    steps.append(client.submit(graphs.add, a, b, pure=False))
            return client.gather(steps)

        seconds, answers = graphs.measure(runs, once_map if shape == "map" else once_dag)
    graphs.report(distributed.__version__, "in memory, not durable; LocalCluster, 2 workers", seconds, answers)


if __name__ == "__main__":
    main()
