"""A crawler as people write them for scylla: python scylla.py POOL URL PAGES"""
import random
import sys

import requests

POOL, URL, PAGES = sys.argv[1], sys.argv[2], int(sys.argv[3])

proxies, page = [], 1
while True:
    answer = requests.get("{}/api/v1/proxies".format(POOL), params={"limit": 3, "page": page, "anonymous": "any", "https": "true"}).json()
    proxies += [p for p in answer["proxies"] if p["is_valid"]]
    if page >= answer["total_page"]:
        break
    page += 1
assert len(proxies) == answer["count"], (len(proxies), answer)
assert requests.get("{}/api/v1/stats".format(POOL)).json()["valid_count"] == len(proxies)

done = 0
while done < PAGES:
    p = random.choice(proxies)
    try:
        got = requests.get(URL + str(done), proxies={"http": "http://{}:{}".format(p["ip"], p["port"])}, timeout=10)
    except requests.RequestException:
        proxies.remove(p)
        continue
    print(got.text)
    done += 1
