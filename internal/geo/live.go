package geo

import (
	"net/netip"
	"sync"
)

// Live is a database that can be replaced while it is asked. The zero value
// knows nothing.
type Live struct {
	mu sync.RWMutex // protects db, and keeps it open during a lookup
	db *Database
}

// Replace uses db from now on and closes the one before, once nobody asks it.
func (l *Live) Replace(db *Database) error {
	l.mu.Lock()
	before := l.db
	l.db = db
	l.mu.Unlock()
	if before == nil {
		return nil
	}
	return before.Close()
}

// Lookup is Database.Lookup; without a database everything is unknown.
func (l *Live) Lookup(a netip.Addr) (country string, asn uint32, org string) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.db == nil {
		return "", 0, ""
	}
	return l.db.Lookup(a)
}

// Close closes the database; Lookup knows nothing afterwards.
func (l *Live) Close() error { return l.Replace(nil) }
