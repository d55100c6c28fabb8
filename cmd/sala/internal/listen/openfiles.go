package listen

// A tenth of the files that the process may open, within these bounds, is reserved for the control
// API, Redis and everything else that has to keep working when the node is full of clients.
const (
	minReservedFiles = 64
	maxReservedFiles = 1024
)

// MaxClients returns how many connections of clients fit if the process may open this many files.
func MaxClients(openFiles int64) int64 {
	reserved := min(max(openFiles/10, minReservedFiles), maxReservedFiles)
	return max(openFiles-reserved, openFiles/2)
}
