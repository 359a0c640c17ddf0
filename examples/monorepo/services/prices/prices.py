"""What things cost, in cents."""

import sys

from store import Store


class Prices:
    def __init__(self, path=None):
        self.cents = Store({"kettle": 2490, "teapot": 1850}, path)

    def raise_by(self, name, percent):
        self.cents.put(name, self.cents.get(name) * (100 + percent) // 100)

    def show(self, name):
        cents = self.cents.get(name)
        return f"{cents // 100}.{cents % 100:02}"


if __name__ == "__main__":
    print(Prices().show(sys.argv[1]))
