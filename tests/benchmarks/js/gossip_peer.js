// One of the js-libp2p processes that gossip: what tests/benchmarks/gossip_peer.py is, for the
// reference. Gossipsub as it comes; it signs and checks every message by itself.

import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'

// Node 20 has no such function yet, and libp2p calls it while it loads.
Promise.withResolvers ??= function () {
  let resolve, reject
  const promise = new this((...both) => { [resolve, reject] = both })
  return { promise, resolve, reject }
}

const { createLibp2p } = await import('libp2p')
const { tcp } = await import('@libp2p/tcp')
const { noise } = await import('@chainsafe/libp2p-noise')
const { yamux } = await import('@chainsafe/libp2p-yamux')
const { identify } = await import('@libp2p/identify')
const { gossipsub } = await import('@libp2p/gossipsub')
const { multiaddr } = await import('@multiformats/multiaddr')

const NUMBER = Number(process.argv[2])
const TOPIC = 'bench'
const HEAD_BYTES = 13 // sender, sequence and time of sending, as in gossip_peer.py
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const told = async () => JSON.parse((await lines.next()).value)
const say = (what) => process.stdout.write(JSON.stringify(what) + '\n')
const until = (ns) => sleep(Math.max(0, Number(BigInt(Math.round(ns)) - process.hrtime.bigint()) / 1e6))

const node = await createLibp2p({
  addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
  transports: [tcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  // All peers share one address here, and js lets five connections a second in from one.
  connectionManager: { inboundConnectionThreshold: 1000, maxIncomingPendingConnections: 100 },
  services: { identify: identify(), pubsub: gossipsub({ allowPublishToZeroTopicPeers: true }) }
})
const heard = new Map()
node.services.pubsub.addEventListener('message', ({ detail: { data } }) => {
  const now = process.hrtime.bigint()
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength)
  const key = view.getUint8(0) + ':' + view.getUint32(1)
  if (!heard.has(key)) heard.set(key, [view.getUint32(1), Number(now - view.getBigUint64(5)) / 1e6])
})
node.services.pubsub.subscribe(TOPIC)
say({ address: node.getMultiaddrs()[0].toString() })

for (const address of (await told()).dial) await node.dial(multiaddr(address))
say({ linked: node.getConnections().length })

const plan = await told()
const at = (turn) => plan.begin_ns + turn * plan.interval_ns
let cpu = process.cpuUsage()
for (let turn = 0; turn < plan.warm_up + plan.messages; turn++) {
  await until(at(turn))
  if (turn === plan.warm_up) cpu = process.cpuUsage()
  await until(at(turn) + plan.interval_ns / plan.peers * NUMBER)
  const data = new Uint8Array(plan.message_bytes)
  crypto.getRandomValues(data.subarray(HEAD_BYTES))
  const view = new DataView(data.buffer)
  view.setUint8(0, NUMBER)
  view.setUint32(1, turn)
  view.setBigUint64(5, process.hrtime.bigint())
  await node.services.pubsub.publish(TOPIC, data)
}
await until(at(plan.warm_up + plan.messages) + plan.drain_ns)
const { user, system } = process.cpuUsage(cpu)
const counted = [...heard.values()].filter(([turn]) => turn >= plan.warm_up)
say({ cpu_seconds: (user + system) / 1e6, delays_ms: counted.map(([, delay]) => delay) })
await lines.next()
process.exit(0)
