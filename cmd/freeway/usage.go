package main

import (
	"bytes"
	"context"
	"encoding/json"
	"time"

	"freeway/gateway"
)

// Where and how often the bytes of users with daily_bytes are written down.
const (
	usageNote  = "gateway.usage"
	usageEvery = time.Second // and it is on disk two seconds later
)

// recallUsage tells the gateway what its users have used up before the restart.
func (s *server) recallUsage() {
	doc := s.pool.Recall(usageNote)
	if doc == nil {
		return
	}
	var all []gateway.Usage
	if err := json.Unmarshal(doc, &all); err != nil {
		s.log.Warn("what users have used today is not readable and counts anew", "error", err)
		return
	}
	s.gateway.SetUsage(all)
}

// keepUsage writes down what users have used, until ctx ends and once more then.
func (s *server) keepUsage(ctx context.Context) error {
	tick := time.NewTicker(usageEvery)
	defer tick.Stop()
	last := s.pool.Recall(usageNote)
	for more := true; more; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			more = false
		}
		all := s.gateway.Usage()
		if len(all) == 0 {
			continue
		}
		doc, err := json.Marshal(all)
		if err != nil {
			return err
		}
		if !bytes.Equal(doc, last) {
			s.pool.Note(usageNote, doc)
			last = doc
		}
	}
	return nil
}
