package logs

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

const (
	maxLines = 4096    // lines that may wait to be written
	maxBytes = 4 << 20 // and their bytes
	batch    = 64 << 10
)

// Writer is an io.Writer of lines that never waits: a goroutine of its own
// writes them to the sink. Lines that do not fit into the queue, or that the
// sink does not take, are counted.
type Writer struct {
	sink   io.Writer
	ticked func() // called about once a second by the writing goroutine, and at the end
	queue  chan entry
	reopen chan struct{}
	stop   chan struct{}
	done   chan struct{}
	once   sync.Once

	closed  atomic.Bool  // nothing more is taken
	waiting atomic.Int64 // bytes in queue
	lost    atomic.Uint64
	failed  atomic.Uint64
	err     atomic.Pointer[error] // of the latest write or reopening; nil: it went well
}

// entry is what waits to be written.
type entry struct {
	line   []byte
	encode func() []byte // makes the line; nil: it is there
	size   int           // counted in waiting
}

// NewWriter starts the goroutine, which Close ends. ticked may be nil; what it
// writes to the Writer is taken like everything else.
func NewWriter(sink io.Writer, ticked func()) *Writer {
	w := &Writer{sink: sink, ticked: ticked, queue: make(chan entry, maxLines), reopen: make(chan struct{}, 1),
		stop: make(chan struct{}), done: make(chan struct{})}
	go w.run()
	return w
}

// Write queues a copy of p, one or more whole lines. It always reports success:
// who logs can do nothing about it.
func (w *Writer) Write(p []byte) (int, error) {
	w.put(entry{line: append([]byte(nil), p...), size: len(p)})
	return len(p), nil
}

// Put queues a line that encode makes when it is written, by the goroutine that
// does so. size is how many bytes it and what it is made of take, about. With
// nil from encode nothing is written.
func (w *Writer) Put(size int, encode func() []byte) { w.put(entry{encode: encode, size: size}) }

// put queues or loses e.
func (w *Writer) put(e entry) {
	if w.waiting.Add(int64(e.size)) <= maxBytes && !w.closed.Load() {
		select {
		case w.queue <- e:
			return
		default:
		}
	}
	w.waiting.Add(-int64(e.size))
	w.lost.Add(1)
}

// Lost counts the writes that did not fit into the queue, Failed those that the
// sink did not take.
func (w *Writer) Lost() uint64 { return w.lost.Load() }

// Failed is described at Lost.
func (w *Writer) Failed() uint64 { return w.failed.Load() }

// Err is what was wrong with the sink when it was last used, nil for nothing.
func (w *Writer) Err() error {
	if err := w.err.Load(); err != nil {
		return *err
	}
	return nil
}

// Reopen has the sink opened anew, if it can be, before anything more is
// written. It does not wait for that.
func (w *Writer) Reopen() {
	select {
	case w.reopen <- struct{}{}:
	default: // it is about to be
	}
}

// Close writes what is queued and ends the goroutine, then closes a sink that
// can be closed. It waits for at most the given time: a sink that takes nothing
// keeps the goroutine until the process ends. It may be called more than once.
func (w *Writer) Close(patience time.Duration) error {
	w.once.Do(func() { close(w.stop) })
	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case <-w.done:
		return w.Err()
	case <-limit.C:
		return fmt.Errorf("%d bytes of the log could not be written in %v", w.waiting.Load(), patience)
	}
}

// run is the goroutine that writes.
func (w *Writer) run() {
	defer close(w.done)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	buf := make([]byte, 0, batch)
	for {
		select {
		case e := <-w.queue:
			buf = w.write(buf, e)
		case <-w.reopen:
			w.open()
		case <-tick.C:
			w.tick()
		case <-w.stop:
			w.tick()
			w.closed.Store(true)
			w.end(buf)
			return
		}
	}
}

// tick calls ticked.
func (w *Writer) tick() {
	if w.ticked != nil {
		w.ticked()
	}
}

// end writes what is left.
func (w *Writer) end(buf []byte) {
	for {
		select {
		case e := <-w.queue:
			buf = w.write(buf, e)
		default:
			if c, ok := w.sink.(io.Closer); ok {
				if err := c.Close(); err != nil {
					w.note(err)
				}
			}
			return
		}
	}
}

// write writes a line together with those that wait behind it. It returns the
// buffer for the next time.
func (w *Writer) write(buf []byte, e entry) []byte {
	buf, lines := w.append(buf[:0], e), 1
more:
	for len(buf) < batch {
		select {
		case e = <-w.queue:
			buf = w.append(buf, e)
			lines++
		default:
			break more
		}
	}
	n, err := w.sink.Write(buf)
	w.note(err)
	if n < len(buf) {
		w.failed.Add(uint64(lines))
	}
	if cap(buf) > 2*batch { // one long line need not be paid for ever
		buf = make([]byte, 0, batch)
	}
	return buf
}

// append takes an entry out of what waits.
func (w *Writer) append(buf []byte, e entry) []byte {
	w.waiting.Add(-int64(e.size))
	if e.encode != nil {
		e.line = e.encode()
	}
	return append(buf, e.line...)
}

// open opens the sink anew.
func (w *Writer) open() {
	if r, ok := w.sink.(interface{ Reopen() error }); ok {
		w.note(r.Reopen())
	}
}

// note keeps what is wrong with the sink.
func (w *Writer) note(err error) {
	switch old := w.Err(); {
	case err == nil && old != nil:
		w.err.Store(nil)
	case err != nil && (old == nil || !errors.Is(old, err)):
		w.err.Store(&err)
	}
}
