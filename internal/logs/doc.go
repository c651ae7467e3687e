// Package logs writes logs so that nobody who logs ever waits.
//
// A record is turned into a line by its caller and put into a bounded queue; one
// goroutine writes the lines. When the disk is slow, full or gone, or nobody reads
// the pipe, the queue fills up and what does not fit is counted. Records that come
// again and again are sampled, and how many were left out is itself logged.
package logs
