package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"net/netip"
	"time"

	"freeway/proxy"
)

// A key is the kind of host, the host, the port, the protocol and the user, so
// that neighbours lie together. A record is recordVersion, the CRC-32 of key
// and rest, and the fields in the order of appendRecord, numbers as varints and
// strings with their length in front. Bytes behind the fields known here, which
// a newer version may add, are ignored; newer fields must allow for records that
// lack them.
const (
	kindIPv4, kindIPv6, kindName byte = 4, 6, 7

	recordVersion = 1
)

// The flags of a record.
const (
	flagGuess  = 1 << iota
	flagPassed // the last full check passed
	flagLived  // the section of those that ever worked follows
	flagFirst  // the first check passed
)

var errRecord = errors.New("damaged record")

// appendKey appends the key of an endpoint.
func appendKey(b []byte, ep proxy.Endpoint) []byte {
	switch a := ep.Addr(); {
	case a.Is4():
		b = append(append(b, kindIPv4), a.AsSlice()...)
	case a.IsValid():
		b = append(append(b, kindIPv6), a.AsSlice()...)
	default:
		b = append(append(append(b, kindName), ep.Host...), 0)
	}
	b = binary.BigEndian.AppendUint16(b, ep.Port)
	return append(append(b, byte(ep.Protocol)), ep.User...)
}

// parseKey reads what appendKey wrote.
func parseKey(k []byte) (ep proxy.Endpoint, err error) {
	r := reader{rest: k}
	host := ""
	switch kind := r.byte(); kind {
	case kindIPv4:
		a, _ := netip.AddrFromSlice(r.bytes(4))
		host = a.String()
	case kindIPv6:
		a, _ := netip.AddrFromSlice(r.bytes(16))
		host = a.String()
	case kindName:
		for c := r.byte(); c != 0 && !r.bad; c = r.byte() {
			host += string(rune(c))
		}
	default:
		r.bad = true
	}
	port := r.bytes(2)
	proto := proxy.Protocol(r.byte())
	if r.bad {
		return ep, errRecord
	}
	return proxy.NewEndpoint(proto, host, binary.BigEndian.Uint16(port), string(r.rest))
}

// appendRecord appends the value of a record. Times are kept to the second,
// that of the next check to the millisecond.
func appendRecord(b, key []byte, r *proxy.Record) []byte {
	start := len(b)
	b = append(b, recordVersion, 0, 0, 0, 0)
	lived := r.Latency != 0 || r.Uses != (proxy.Tally{}) || r.Traits != (proxy.Traits{}) || len(r.Targets) > 0
	b = append(b, bit(r.Guess, flagGuess)|bit(r.Passed, flagPassed)|bit(lived, flagLived)|bit(r.FirstLive, flagFirst))
	b = appendString(b, r.Pool)
	b = appendStrings(b, r.Sources)
	b = binary.LittleEndian.AppendUint32(b, math.Float32bits(r.Health.OK))
	b = binary.LittleEndian.AppendUint32(b, math.Float32bits(r.Health.Fail))
	b = binary.AppendUvarint(b, uint64(r.Health.At))
	for _, t := range []time.Time{r.FirstSeen, r.LastSeen, r.LastChecked, r.LastLive} {
		b = appendTime(b, t, time.Time.Unix)
	}
	b = appendTime(b, r.NextCheck, time.Time.UnixMilli)
	for _, n := range []uint32{r.Misses, r.UseFails, r.Checks.OK, r.Checks.Failed} {
		b = binary.AppendUvarint(b, uint64(n))
	}
	b = append(b, byte(r.Error.Stage), byte(r.Error.Class))
	b = appendString(b, r.Password.Reveal())
	if lived {
		b = appendLived(b, r)
	}
	b = binary.LittleEndian.AppendUint32(b, math.Float32bits(r.Health.Up))
	b = binary.LittleEndian.AppendUint32(b, math.Float32bits(r.Health.Odds))
	binary.LittleEndian.PutUint32(b[start+1:], checksum(key, b[start+5:]))
	return b
}

// appendLived appends what only endpoints have that ever worked.
func appendLived(b []byte, r *proxy.Record) []byte {
	t := &r.Traits
	b = binary.AppendUvarint(b, uint64(max(r.Latency, 0)))
	b = binary.AppendUvarint(b, uint64(r.Uses.OK))
	b = binary.AppendUvarint(b, uint64(r.Uses.Failed))
	for _, v := range []proxy.Tri{t.Forward, t.Tunnel, t.TunnelAny, t.RemoteDNS, t.IPv6} {
		b = append(b, byte(v+1))
	}
	b = append(b, byte(t.Anonymity))
	b = appendString(b, string(t.ExitIP.AsSlice()))
	b = appendString(b, t.Country)
	b = binary.AppendUvarint(b, uint64(t.ASN))
	b = appendString(b, t.Org)
	b = appendString(b, t.Tampers)
	return appendStrings(b, r.Targets)
}

// parseRecord reads what appendRecord wrote for the key.
func parseRecord(key, value []byte) (rec proxy.Record, err error) {
	if rec.Endpoint, err = parseKey(key); err != nil {
		return rec, fmt.Errorf("key %x: %w", key, err)
	}
	r := reader{rest: value}
	if v := r.byte(); v != recordVersion {
		return rec, fmt.Errorf("%w: version %d of %s", errRecord, v, rec.Endpoint)
	}
	if sum := r.uint32(); sum != checksum(key, r.rest) {
		return rec, fmt.Errorf("%w: checksum of %s", errRecord, rec.Endpoint)
	}
	flags := r.byte()
	rec.Guess, rec.Passed, rec.FirstLive = flags&flagGuess != 0, flags&flagPassed != 0, flags&flagFirst != 0
	rec.Pool = r.string()
	rec.Sources = r.strings()
	rec.Health.OK, rec.Health.Fail = weight(r.uint32()), weight(r.uint32())
	rec.Health.At = uint32(min(r.uvarint(), math.MaxUint32))
	for _, t := range []*time.Time{&rec.FirstSeen, &rec.LastSeen, &rec.LastChecked, &rec.LastLive} {
		*t = r.time(func(n int64) time.Time { return time.Unix(n, 0) })
	}
	rec.NextCheck = r.time(time.UnixMilli)
	for _, n := range []*uint32{&rec.Misses, &rec.UseFails, &rec.Checks.OK, &rec.Checks.Failed} {
		*n = uint32(min(r.uvarint(), math.MaxUint32))
	}
	rec.Error = proxy.Fault{Stage: proxy.Stage(r.byte()), Class: proxy.Class(r.byte())}
	rec.Password = proxy.NewSecret(r.string())
	if flags&flagLived != 0 {
		r.lived(&rec)
	}
	r.belief(&rec.Health)
	if r.bad {
		return rec, fmt.Errorf("%w: %s is cut", errRecord, rec.Endpoint)
	}
	return rec, nil
}

// lived reads what appendLived wrote.
func (r *reader) lived(rec *proxy.Record) {
	t := &rec.Traits
	rec.Latency = time.Duration(min(r.uvarint(), math.MaxInt64))
	rec.Uses.OK, rec.Uses.Failed = uint32(min(r.uvarint(), math.MaxUint32)), uint32(min(r.uvarint(), math.MaxUint32))
	for _, v := range []*proxy.Tri{&t.Forward, &t.Tunnel, &t.TunnelAny, &t.RemoteDNS, &t.IPv6} {
		*v = proxy.Tri(min(r.byte(), 2)) - 1
	}
	t.Anonymity = min(proxy.Anonymity(r.byte()), proxy.Elite)
	t.ExitIP, _ = netip.AddrFromSlice([]byte(r.string()))
	t.Country = r.string()
	t.ASN = uint32(min(r.uvarint(), math.MaxUint32))
	t.Org = r.string()
	t.Tampers = r.string()
	if len(r.rest) > 0 {
		rec.Targets = r.strings()
	}
}

// belief reads the parts of the health that records of the first versions lack.
func (r *reader) belief(h *proxy.Health) {
	if len(r.rest) < 8 {
		*h = proxy.Restored(h.OK, h.Fail, h.At)
		return
	}
	h.Up = min(weight(r.uint32()), 1)
	if odds := math.Float32frombits(r.uint32()); odds > -math.MaxFloat32 && odds < math.MaxFloat32 {
		h.Odds = odds
	}
}

// weight reads a number of observations, which is finite and not negative.
func weight(bits uint32) float32 {
	f := math.Float32frombits(bits)
	if !(f >= 0 && f < math.MaxFloat32) {
		return 0
	}
	return f
}

// checksum covers the key as well, so that a value never belongs to another.
func checksum(key, value []byte) uint32 {
	return crc32.Update(crc32.ChecksumIEEE(key), crc32.IEEETable, value)
}

// bit is the flag when it is on.
func bit(on bool, flag byte) byte {
	if on {
		return flag
	}
	return 0
}

// appendString appends the length and the bytes.
func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// appendStrings appends the number of strings and each of them.
func appendStrings(b []byte, list []string) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	for _, s := range list {
		b = appendString(b, s)
	}
	return b
}

// appendTime keeps the zero time and all before 1970 as 0.
func appendTime(b []byte, t time.Time, unit func(time.Time) int64) []byte {
	if t.IsZero() {
		return append(b, 0)
	}
	return binary.AppendUvarint(b, uint64(max(unit(t), 0)))
}
