package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"syscall"
)

// The layout of bbolt's file (its internal/common/page.go and meta.go, format
// 2): pages of one size, each with a header of id, flags, count and overflow;
// the first two hold the meta data, of which the valid one with the higher
// transaction counts. Numbers have the byte order of the machine.
const (
	pageHeader  = 16
	pageElement = 16 // of leaf and branch pages alike
	metaLen     = 64
	metaSummed  = 56 // what the checksum covers
	boltMagic   = 0xED0CDAED
	boltVersion = 2
	noFreelist  = ^uint64(0)

	flagBranch   = 0x01
	flagLeaf     = 0x02
	flagFreelist = 0x10
	flagBucket   = 0x01 // of a leaf element

	minPage, maxPage = 1 << 10, 1 << 24
	maxDepth         = 48 // pages under pages; with two keys each it would hold 2⁴⁸
)

// verify reads a whole bbolt file and checks that everything in it points to
// where it may: bbolt maps the file into memory and trusts it, so that a
// damaged one would end the process with a fault that cannot be caught. The
// error is ErrCorrupt, also for what the disk cannot read (EIO); other errors
// of reading say nothing about the file and are returned as they are. Nobody
// may be writing to the file.
func verify(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	in := &watched{f: f}
	v := verifier{f: in, size: uint64(info.Size())}
	err = v.run()
	if in.err != nil && !errors.Is(in.err, syscall.EIO) {
		return in.err
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return nil
}

// watched remembers the first error of reading other than the end of the file.
type watched struct {
	f   io.ReaderAt
	err error
}

// ReadAt implements io.ReaderAt.
func (w *watched) ReadAt(b []byte, at int64) (int, error) {
	n, err := w.f.ReadAt(b, at)
	if err != nil && !errors.Is(err, io.EOF) && w.err == nil {
		w.err = err
	}
	return n, err
}

// verifier is one pass over a file.
type verifier struct {
	f        io.ReaderAt
	size     uint64 // of the file
	pageSize uint64
	pages    uint64   // used ones; numbers from here on are free
	seen     []uint64 // bits: pages that something points to
}

var errMeta = errors.New("it is not a bbolt file, or its head is damaged")

// run checks the head, everything that its root reaches, and the free list.
func (v *verifier) run() error {
	m, err := v.meta()
	if err != nil {
		return err
	}
	v.pages = m.pages
	if v.pages < 3 || v.pages > v.size/v.pageSize {
		return fmt.Errorf("it is cut: %d pages of %d bytes are in use, it has %d bytes", v.pages, v.pageSize, v.size)
	}
	v.seen = make([]uint64, v.pages/64+1)
	if err := v.tree(m.root, 0); err != nil {
		return err
	}
	if m.freelist == noFreelist {
		return nil
	}
	return v.freelist(m.freelist)
}

// meta is the head of the file.
type meta struct{ pageSize, root, freelist, pages, tx uint64 }

// meta finds the head that counts.
func (v *verifier) meta() (best meta, err error) {
	err = errMeta
	try := func(at uint64) {
		m, ok := v.metaAt(at)
		if ok && (err != nil || m.tx > best.tx) {
			best, err = m, nil
		}
	}
	try(0)
	if err == nil {
		try(best.pageSize)
	} else { // the size of pages is not known then
		for at := uint64(minPage); at <= maxPage && at < v.size && err != nil; at *= 2 {
			try(at)
		}
	}
	v.pageSize = best.pageSize
	return best, err
}

// metaAt reads the head at an offset; ok is false when it is not whole.
func (v *verifier) metaAt(at uint64) (m meta, ok bool) {
	b := make([]byte, metaLen)
	if _, err := v.f.ReadAt(b, int64(at+pageHeader)); err != nil {
		return m, false
	}
	e := binary.NativeEndian
	h := fnv.New64a()
	h.Write(b[:metaSummed]) //nolint:errcheck // a hash takes everything
	m = meta{pageSize: uint64(e.Uint32(b[8:])), root: e.Uint64(b[16:]), freelist: e.Uint64(b[32:]), pages: e.Uint64(b[40:]), tx: e.Uint64(b[48:])}
	ok = e.Uint32(b) == boltMagic && e.Uint32(b[4:]) == boltVersion && e.Uint64(b[metaSummed:]) == h.Sum64()
	return m, ok && m.pageSize >= minPage && m.pageSize <= maxPage && m.pageSize&(m.pageSize-1) == 0
}

// page reads a page with what overflows it, and notes that it is in use.
func (v *verifier) page(id uint64) ([]byte, error) {
	if id < 2 || id >= v.pages {
		return nil, fmt.Errorf("page %d is out of range", id)
	}
	var head [pageHeader]byte
	if _, err := v.f.ReadAt(head[:], int64(id*v.pageSize)); err != nil {
		return nil, fmt.Errorf("page %d: %w", id, err)
	}
	n := uint64(binary.NativeEndian.Uint32(head[12:])) + 1
	if got := binary.NativeEndian.Uint64(head[:]); got != id || n > v.pages-id {
		return nil, fmt.Errorf("page %d is not itself", id)
	}
	for i := id; i < id+n; i++ {
		if v.seen[i/64]&(1<<(i%64)) != 0 {
			return nil, fmt.Errorf("page %d is used twice", i)
		}
		v.seen[i/64] |= 1 << (i % 64)
	}
	b := make([]byte, n*v.pageSize)
	if _, err := v.f.ReadAt(b, int64(id*v.pageSize)); err != nil {
		return nil, fmt.Errorf("page %d: %w", id, err)
	}
	return b, nil
}

// tree checks a page and all under it.
func (v *verifier) tree(id uint64, depth int) error {
	b, err := v.page(id)
	if err != nil {
		return err
	}
	if err := v.content(b, depth); err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	return nil
}

// content checks the elements of a leaf or branch page.
func (v *verifier) content(b []byte, depth int) error {
	e := binary.NativeEndian
	if depth > maxDepth {
		return errors.New("too many levels")
	}
	flags, count := e.Uint16(b[8:]), uint64(e.Uint16(b[10:]))
	if flags != flagBranch && flags != flagLeaf {
		return fmt.Errorf("neither leaf nor branch: %#x", flags)
	}
	if pageHeader+count*pageElement > uint64(len(b)) || flags == flagBranch && count == 0 {
		return fmt.Errorf("it cannot have %d elements", count)
	}
	var last []byte
	for i := range count {
		at := pageHeader + i*pageElement
		elem := b[at:]
		key, err := part(elem, flags, last)
		if err != nil {
			return err
		}
		last = key
		switch {
		case flags == flagBranch:
			err = v.tree(e.Uint64(elem[8:]), depth+1)
		case e.Uint32(elem)&flagBucket != 0:
			pos, ks, vs := e.Uint32(elem[4:]), e.Uint32(elem[8:]), e.Uint32(elem[12:])
			err = v.bucket(elem[uint64(pos)+uint64(ks):][:vs], depth+1)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// part checks that key and value of an element lie in the page, and that keys
// ascend. elem is the rest of the page from the element on.
func part(elem []byte, flags uint16, last []byte) (key []byte, err error) {
	e := binary.NativeEndian
	var pos, ks, vs uint64
	if flags == flagBranch {
		pos, ks = uint64(e.Uint32(elem)), uint64(e.Uint32(elem[4:]))
	} else {
		pos, ks, vs = uint64(e.Uint32(elem[4:])), uint64(e.Uint32(elem[8:])), uint64(e.Uint32(elem[12:]))
	}
	if ks == 0 || pos < pageElement || pos+ks+vs > uint64(len(elem)) {
		return nil, errors.New("an element lies outside")
	}
	key = elem[pos : pos+ks]
	if last != nil && bytes.Compare(last, key) >= 0 {
		return nil, errors.New("keys do not ascend")
	}
	return key, nil
}

// bucket checks a bucket, which has a page of its own or lies inside its value.
func (v *verifier) bucket(value []byte, depth int) error {
	const head = 16 // root page and sequence number
	if len(value) < head {
		return errors.New("a bucket is cut")
	}
	if root := binary.NativeEndian.Uint64(value); root != 0 {
		return v.tree(root, depth)
	}
	if len(value) < head+pageHeader {
		return errors.New("a bucket is cut")
	}
	return v.content(value[head:], depth)
}

// freelist checks the list of free pages: none of them may be in use.
func (v *verifier) freelist(id uint64) error {
	b, err := v.page(id)
	if err != nil {
		return fmt.Errorf("free list: %w", err)
	}
	e := binary.NativeEndian
	if e.Uint16(b[8:]) != flagFreelist {
		return errors.New("the free list is not one")
	}
	count, at := uint64(e.Uint16(b[10:])), uint64(pageHeader)
	if count == 0xFFFF { // it did not fit: the first element is the count
		count, at = e.Uint64(b[at:]), at+8
	}
	if count > (uint64(len(b))-at)/8 {
		return fmt.Errorf("the free list cannot have %d pages", count)
	}
	for i := range count {
		free := e.Uint64(b[at+8*i:])
		if free < 2 || free >= v.pages || v.seen[free/64]&(1<<(free%64)) != 0 {
			return fmt.Errorf("page %d is free and in use", free)
		}
		v.seen[free/64] |= 1 << (free % 64)
	}
	return nil
}
