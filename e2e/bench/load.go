package main

import (
	"bufio"
	"cmp"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"time"
)

const workers = 64

// load does one request over the worker's connection, which it may replace.
type load func(w *worker) error

// worker is one client.
type worker struct {
	addr string
	c    net.Conn
	r    *bufio.Reader
}

// dial replaces the worker's connection.
func (w *worker) dial() error {
	if w.c != nil {
		_ = w.c.Close()
	}
	c, err := net.Dial("tcp", w.addr)
	if err != nil {
		return err
	}
	_ = c.SetDeadline(time.Now().Add(10 * time.Minute))
	if w.c = c; w.r == nil {
		w.r = bufio.NewReaderSize(c, 4096)
	}
	w.r.Reset(c)
	return nil
}

// offer runs the load at a rate for a time and returns how long each request took.
func offer(addr string, rate int, d time.Duration, once load) ([]time.Duration, error) {
	var wg sync.WaitGroup
	errs, took := make([]error, workers), make([][]time.Duration, workers)
	every := time.Second * workers / time.Duration(rate)
	start := time.Now()
	for i := range workers {
		wg.Go(func() {
			w := &worker{addr: addr}
			defer func() {
				if w.c != nil {
					_ = w.c.Close()
				}
			}()
			for next := start.Add(every * time.Duration(i) / workers); next.Before(start.Add(d)); next = next.Add(every) {
				time.Sleep(time.Until(next))
				began := time.Now()
				if errs[i] = once(w); errs[i] != nil {
					return
				}
				took[i] = append(took[i], time.Since(began))
			}
		})
	}
	wg.Wait()
	return slices.Concat(took...), cmp.Or(errs...)
}

var getRequest = []byte("GET http://127.0.0.1:81/path?x=1 HTTP/1.1\r\nHost: 127.0.0.1:81\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\nAccept-Encoding: gzip\r\n\r\n")

// getOnce is a GET over a connection that is kept.
func getOnce(w *worker) error {
	if w.c == nil {
		if err := w.dial(); err != nil {
			return err
		}
	}
	if _, err := w.c.Write(getRequest); err != nil {
		return err
	}
	return w.answer(bodySize)
}

// answer reads a head with status 200 and a body of so many bytes.
func (w *worker) answer(body int) error {
	status, err := w.r.ReadString('\n')
	if err != nil {
		return err
	}
	if f := strings.Fields(status); len(f) < 2 || f[1] != "200" {
		return fmt.Errorf("answer %q", status)
	}
	for {
		line, err := w.r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) <= 2 {
			break
		}
	}
	_, err = w.r.Discard(body)
	return err
}

// clientHello is what a client of TLS sends first.
var clientHello = sync.OnceValue(func() []byte {
	a, b := net.Pipe()
	go func() { _ = tls.Client(a, &tls.Config{ServerName: "example.com"}).Handshake() }()
	buf := make([]byte, 4096)
	n, _ := b.Read(buf)
	_ = a.Close()
	_ = b.Close()
	return buf[:n]
})

// connect makes a tunnel.
func (w *worker) connect() error {
	if err := w.dial(); err != nil {
		return err
	}
	if _, err := io.WriteString(w.c, "CONNECT 127.0.0.1:443 HTTP/1.1\r\nHost: 127.0.0.1:443\r\nUser-Agent: curl/8.5.0\r\n\r\n"); err != nil {
		return err
	}
	return w.answer(0)
}

// connectOnce is a tunnel for one exchange.
func connectOnce(w *worker) error {
	if err := w.connect(); err != nil {
		return err
	}
	if _, err := w.c.Write(clientHello()); err != nil {
		return err
	}
	_, err := w.r.Discard(bodySize + 5)
	return err
}

// download takes so many bytes from a tunnel.
func download(addr string, n int64) error {
	w := &worker{addr: addr}
	if err := w.connect(); err != nil {
		return err
	}
	defer w.c.Close()
	if _, err := io.WriteString(w.c, "bulk please"); err != nil {
		return err
	}
	buf := make([]byte, 256<<10)
	for n > 0 {
		m, err := w.c.Read(buf)
		if err != nil {
			return err
		}
		n -= int64(m)
	}
	return nil
}

// openTunnels makes tunnels that have exchanged a little and then do nothing.
func openTunnels(addr string, n int) ([]net.Conn, error) {
	conns := make([]net.Conn, 0, n)
	for range n {
		w := &worker{addr: addr}
		if err := connectOnce(w); err != nil {
			return conns, err
		}
		conns = append(conns, w.c)
	}
	return conns, nil
}
