package pool

import (
	"encoding/binary"
	"hash/maphash"
	"net/netip"

	"freeway/proxy"
)

// hash spreads places over the table.
func (p *Pool) hashPlace(k *place) uint64 {
	var b [19]byte
	copy(b[:], k.host[:])
	binary.LittleEndian.PutUint16(b[16:], k.port)
	if k.named {
		b[18] = 1
	}
	return maphash.Bytes(p.seed, b[:])
}

// hashHost spreads hosts over the table; the port does not count.
func (p *Pool) hashHost(k *place) uint64 {
	h := place{host: k.host, named: k.named}
	return p.hashPlace(&h)
}

// place returns the key of host and port; ok is false when the host is a name
// that nobody has used yet and make is false.
func (p *Pool) place(host string, port uint16, make bool) (k place, ok bool) {
	k.port = port
	if a, err := netip.ParseAddr(host); err == nil {
		k.host = a.As16()
		return k, true
	}
	n, ok := p.nameIDs[host]
	if !ok {
		if !make {
			return k, false
		}
		n = p.names.alloc()
		*p.names.at(n) = host
		p.nameIDs[host] = n
	}
	k.named = true
	binary.BigEndian.PutUint32(k.host[:], n)
	return k, true
}

// hostOf returns the canonical text of a place's host.
func (p *Pool) hostOf(k *place) string {
	if k.named {
		return *p.names.at(binary.BigEndian.Uint32(k.host[:]))
	}
	return netip.AddrFrom16(k.host).Unmap().String()
}

// findGroup returns the group at the place, or none.
func (p *Pool) findGroup(k *place) uint32 {
	n, ok := p.byPlace.find(p.hashPlace(k), func(n uint32) bool { return p.groups.at(n).place == *k })
	if !ok {
		return none
	}
	return n
}

// findRow returns the row of an endpoint within its group, or none.
func (p *Pool) findRow(g uint32, proto proxy.Protocol, user string) uint32 {
	for n := p.groups.at(g).head; n != none; n = p.rows.at(n).next {
		if r := p.rows.at(n); r.proto == proto && p.userOf(n, r) == user {
			return n
		}
	}
	return none
}

// userOf returns the user of row n, "" for the public ones, which have none.
func (p *Pool) userOf(n uint32, r *row) string {
	if r.flags&login == 0 {
		return ""
	}
	return p.logins[n].user
}

// find returns the row of an endpoint, or none.
func (p *Pool) find(ep proxy.Endpoint) uint32 {
	k, ok := p.place(ep.Host, ep.Port, false)
	if !ok {
		return none
	}
	g := p.findGroup(&k)
	if g == none {
		return none
	}
	return p.findRow(g, ep.Protocol, ep.User)
}

// findID returns the row with the opaque id, or none.
func (p *Pool) findID(id string) uint32 {
	h := p.hashID(id)
	n, ok := p.byID.find(uint64(h), func(n uint32) bool {
		return p.rows.at(n).id == h && p.endpoint(n).ID() == id
	})
	if !ok {
		return none
	}
	return n
}

// hashID is the part of an id's hash that rows keep.
func (p *Pool) hashID(id string) uint32 { return uint32(maphash.String(p.seed, id) >> 32) }

// endpoint returns the key of row n.
func (p *Pool) endpoint(n uint32) proxy.Endpoint {
	r := p.rows.at(n)
	g := p.groups.at(r.group)
	return proxy.Endpoint{Protocol: r.proto, Host: p.hostOf(&g.place), Port: g.place.port, User: p.userOf(n, r)}
}
