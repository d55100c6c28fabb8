package report

// closing says how to run the benchmarks and how to read them.
const closing = `## Run it yourself

` + "```sh" + `
make bench                                         # all of it, less than half an hour; writes this page
bench/run -quick                                   # a smoke test, less than a minute; writes to bench/out
bench/run -profiles burst,paced -peers node,sala   # a part; writes to bench/out
bench/run -help
` + "```" + `

It needs Go, Node 20 or later, redis-server and 20,000 open files per process (` + "`ulimit -n`" + `). Nothing else should run meanwhile: the load
generator and the server share the machine. All that was measured, run by run, is in [bench/results.json](../bench/results.json).

## How to read it

- **Figures are medians** over the runs, with the smallest and the largest beside them. Each run starts every server anew, and the
  servers take turns; each takes part where its figure says something. Ratios are taken between figures of the same run and say
  more than the figures themselves, which are this machine's.
- **CPU** is what the kernel has charged to the server's process, in user and in system mode. On the loopback interface the writer also
  pays for the receiver's half of TCP, for each server alike. Node works on one thread, the Go servers on all cores; CPU time
  counts the same for both.
- **CPU per delivery** has everything in it: taking the message from the publisher, encoding, queueing, writing. Sala takes messages
  over gRPC with an API key, the others as lines of text over TCP, which is cheaper.
- **Latency** is from the moment of publishing to the moment when the client's bytes are read, both in the load generator and on
  one clock. One goroutine reads for all clients, so with many recipients it includes the time until their turn comes.
  In a burst it is mostly how long the whole burst takes.
- **Memory** is the growth of the resident set, divided by the connections. The kernel's buffers for sockets are not in it, and
  in a garbage-collected server it isn't what is needed but what is kept. No server is asked to collect; the wait is long
  enough for all to do so by themselves.
- **Missing** are messages that did not come within 30 s, **lost** are connections that failed or weren't there within 5 s and had
  to be made again: the worst of all runs.
- **What isn't here:** a network. TLS. Several machines. What an application does with its
  messages. The floor pings nobody, reads nothing and would wait for a client that doesn't read: it is no server that
  anybody could use.
`
