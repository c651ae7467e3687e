package checker

// Bounds of the concurrency that is chosen by the file limit.
const (
	minAuto      = 16
	maxAuto      = 1000
	spareFiles   = 200 // for the store, listeners, clients and lists
	filesPerSlot = 3   // a check has one or two sockets open; the rest is air
)

// concurrencyFor returns how many checks may run when a process may open files
// files; 0 means that there is no limit.
func concurrencyFor(files uint64) int {
	if files == 0 || files > maxAuto*filesPerSlot+spareFiles {
		return maxAuto
	}
	return max(minAuto, (int(files)-spareFiles)/filesPerSlot)
}
