"""Six lines with a trained run: `python examples/hello_shop.py demo/run U00001` after `make demo`."""

import sys

import unimp

shop = unimp.load(sys.argv[1])
user = sys.argv[2]
for item in shop.recommend(user=user, k=3).items:
    print(item.title, round(item.score, 2))
print(shop.search("red bag", user=user, k=1).items[0].title)
