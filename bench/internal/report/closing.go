package report

// closing explains how to run the benchmarks and how to read them.
const closing = `## Run it yourself

<!-- not run: it takes half an hour -->
` + "```sh" + `
make bench                                         # everything, in less than half an hour; writes this page
bench/run -quick                                   # a smoke test, in less than a minute; writes to bench/out
bench/run -profiles burst,paced -peers node,sala   # a part; writes to bench/out
bench/run -help
` + "```" + `

You need Go, Node 20 or later, redis-server and 20,000 open files per process (` + "`ulimit -n`" + `). Run
nothing else meanwhile, since the load generator and the server share the machine.
[bench/results.json](../bench/results.json) has all figures of each run.

## How to read it

- **Figures are medians** over the runs, with the smallest and the largest value. Each run starts
  every server afresh, and the servers take turns. A server takes part where its figure is
  meaningful. Ratios divide figures of the same run, pair by pair, and say more than the figures
  themselves, which depend on this machine. Before each measurement the machine is watched for
  half a second, and what its host takes away during one is counted.
- **Two floors.** One system call for each write is what most servers do; io_uring shows that it is
  not the least. Where a sandbox refuses io_uring, its rows are missing.
- **CPU** is what the kernel charged to the server's process, in user and in system mode. On the
  loopback interface the writer also pays for the receiver's half of TCP; that affects all servers
  equally. Node works on one thread, the Go servers on all cores; CPU time counts both in the same
  way.
- **CPU per delivery** includes everything: taking the message from the publisher, encoding,
  queueing and writing. Sala takes messages over gRPC with an API key, the others as lines of text
  over TCP, which is cheaper.
- **Latency** is the time from publishing until the client's bytes are read, both in the load
  generator and on one clock. One goroutine reads for all clients, so with many recipients latency
  includes the wait for their turn. In a burst it is mostly the duration of the whole burst.
- **Memory** is the growth of the resident set, divided by the number of connections. It excludes
  the kernel's socket buffers. In a garbage-collected server it is what the server keeps, not what
  it needs. No server is told to collect garbage; the wait is long enough for all of them to do so.
- **Missing** messages did not arrive within 30 s. **Lost** connections failed or took longer than 5
  s, and had to be made again. Both are the worst of all runs.
- **Not measured:** a network, TLS, several machines, what an application does with its messages.
  The floor sends no pings, reads nothing and would wait for a client that does not read: nobody
  could use it as a server.
`
