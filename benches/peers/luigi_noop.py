"""No-op graphs with Luigi's local scheduler. A task is complete when its marker file, with its answer, is there; Luigi
writes it through a temporary file and a rename, without fsync."""

import os

import luigi

import graphs


class Step(luigi.Task):
    directory = luigi.Parameter()
    layer = luigi.IntParameter()
    place = luigi.IntParameter()
    width = luigi.IntParameter()

    def requires(self):
        if self.layer == 0:
            return []
        return [
            Step(directory=self.directory, layer=layer, place=place, width=self.width)
            for layer, place in graphs.parents(self.layer, self.place, self.width)
        ]

    def output(self):
        return luigi.LocalTarget(os.path.join(self.directory, f"{self.layer}-{self.place}"))

    def run(self):
        answer = self.place
        if self.layer > 0:
            a, b = (int(target.open().read()) for target in self.input())
            answer = graphs.add(a, b)
        with self.output().open("w") as marker:
            marker.write(str(answer))


def main():
    shape, first, second, runs, directory = graphs.arguments()
    layers, width = (1, first) if shape == "map" else (first, second)

    def once(number):
        place = os.path.join(directory, f"markers-{number}")
        os.makedirs(place)
        last = [Step(directory=place, layer=layers - 1, place=at, width=width) for at in range(width)]
        if not luigi.build(last, local_scheduler=True, workers=1, log_level="ERROR"):
            raise SystemExit("luigi did not finish its tasks")
        return [
            int(open(os.path.join(place, f"{layer}-{at}")).read()) for layer in range(layers) for at in range(width)
        ]

    seconds, answers = graphs.measure(runs, once)
    graphs.report(luigi.__version__, "local scheduler, 1 worker, marker files without fsync", seconds, answers)


if __name__ == "__main__":
    main()
