// Fetches each URL with one library through the proxy and prints the SHA-256 of
// each body: node client.js MODULES LIBRARY PROXY URL...
// NODE_EXTRA_CA_CERTS names the authority of the sites.
const [modules, library, proxy, ...urls] = process.argv.slice(2);
const { createHash } = require("crypto");
const load = (name) => require(require.resolve(name, { paths: [modules] }));
const show = (body) => console.log(createHash("sha256").update(Buffer.from(body)).digest("hex"));

const clients = {
  async undici() {
    const { ProxyAgent, request, fetch } = load("undici");
    const dispatcher = new ProxyAgent(proxy);
    for (const [i, url] of urls.entries()) {
      if (i % 2) {
        show(await (await fetch(url, { dispatcher })).arrayBuffer());
      } else {
        show(await (await request(url, { dispatcher })).body.arrayBuffer());
      }
    }
    await dispatcher.close();
  },
  async axios() {
    const axios = load("axios");
    const { HttpsProxyAgent } = load("https-proxy-agent");
    const { hostname, port } = new URL(proxy);
    const httpsAgent = new HttpsProxyAgent(proxy);
    for (const url of urls) {
      const how = url.startsWith("https:")
        ? { proxy: false, httpsAgent }
        : { proxy: { protocol: "http", host: hostname, port: Number(port) } };
      show((await axios.get(url, { ...how, responseType: "arraybuffer" })).data);
    }
    httpsAgent.destroy();
  },
  ws() { // says the path of the URL and shows what comes back
    const WebSocket = load("ws");
    const { HttpsProxyAgent } = load("https-proxy-agent");
    return Promise.all(urls.map((url) => new Promise((done, failed) => {
      const socket = new WebSocket(url, { agent: new HttpsProxyAgent(proxy) });
      socket.on("open", () => socket.send(new URL(url).pathname));
      socket.on("message", (data) => { show(data); socket.close(); });
      socket.on("close", done);
      socket.on("error", failed);
    })));
  },
};

clients[library]().catch((err) => { console.error(err); process.exit(1); });
