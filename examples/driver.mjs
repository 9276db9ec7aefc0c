// A driver for Node.js 22 or newer, without any package:
//
//   node examples/driver.mjs "ws://127.0.0.1:3000/api/dispatch/v1/tcp_dispatch?port=6001&accept=127.0.0.1"
//
// Node.js 20 needs `node --experimental-websocket` in front.

const [OPENED, CLOSED, RECEIVED, WRITE, CLOSE] = [0, 1, 2, 3, 4];
const NAMES = ["OPENED", "CLOSED", "RECEIVED"];

function pack(kind, ip, number, data = Buffer.alloc(0)) {
  const head = Buffer.from(`\0${ip}\0`, "latin1");
  head[0] = kind;
  const numbers = Buffer.alloc(12);
  numbers.writeBigUInt64BE(number, 0);
  numbers.writeUInt32BE(data.length, 8);
  return Buffer.concat([head, numbers, data]);
}

function unpack(message) {
  const end = message.indexOf(0, 1);
  return {
    kind: message[0],
    ip: message.toString("latin1", 1, end),
    number: message.readBigUInt64BE(end + 1),
    data: message.subarray(end + 13),
  };
}

const token = process.env.PLACE_SERVER_SECRET ?? "testing";
// The second argument with headers is Node's own. In a browser or elsewhere, a driver that can't
// send headers adds `&bearer_token=` to the address instead.
const driver = new WebSocket(process.argv[2], { headers: { Authorization: `Bearer ${token}` } });
driver.binaryType = "arraybuffer";

driver.onmessage = (event) => {
  const { kind, ip, number, data } = unpack(Buffer.from(event.data));
  console.log(NAMES[kind], ip, `${number}`, JSON.stringify(data.toString()));
  if (kind === RECEIVED) {
    driver.send(pack(WRITE, ip, number, Buffer.concat([Buffer.from("you said: "), data])));
  }
};
driver.onerror = (event) => console.error("error:", event.message ?? event.error?.message);
driver.onclose = (event) => {
  console.error(`closed: ${event.code} ${event.reason}`);
  process.exitCode = 1;
};
