package scraper

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/itchyny/gojq"
)

// The keys of ParseOptions.JSON. host, port and protocol name the keys of
// objects that hold them, when they are none of those that are known anyway.
// jq is a path or a program of jq that picks the entries out of each document,
// for lists whose shape says too little.
const (
	jsonHost     = "host"
	jsonPort     = "port"
	jsonProtocol = "protocol"
	jsonPath     = "jq"
)

const (
	maxQueried  = 32 << 20        // of a document that a jq program is run over
	maxJQ       = 5 * time.Second // for all that it gives
	maxJQValues = 2_000_000
)

// checkJSONKeys reports the mistakes in ParseOptions.JSON.
func checkJSONKeys(m map[string]string) error {
	for key, val := range m {
		switch key {
		case jsonHost, jsonPort, jsonProtocol:
		case jsonPath:
			if _, err := compileJQ(val); err != nil {
				return fmt.Errorf("json: jq: %w", err)
			}
		default:
			return fmt.Errorf("json: unknown key %q; use host, port, protocol or jq", clip(key, 32))
		}
	}
	return nil
}

// compileJQ reads a jq program. It can use neither files nor the environment.
func compileJQ(s string) (*gojq.Code, error) {
	q, err := gojq.Parse(s)
	if err != nil {
		return nil, err
	}
	return gojq.Compile(q)
}

// queryJSON reads the documents of a stream through a jq program. Unlike
// readJSON it needs them whole in memory.
func (e *emitter) queryJSON(r io.Reader, program string) error {
	code, err := compileJQ(program)
	if err != nil {
		return fmt.Errorf("jq: %w", err)
	}
	b, err := io.ReadAll(io.LimitReader(r, maxQueried+1))
	if err != nil {
		return err
	}
	if len(b) > maxQueried {
		return errors.New("jq: a document over 32 MiB")
	}
	ctx, cancel := context.WithTimeout(context.Background(), maxJQ)
	defer cancel()
	// NDJSON is many documents; each goes through the program.
	dec := json.NewDecoder(bytes.NewReader(b))
	for dec.More() && !e.done {
		var doc any
		if err := dec.Decode(&doc); err != nil {
			e.reject(nil, "not JSON from here on")
			return nil
		}
		if err := e.queried(code.RunWithContext(ctx, doc)); err != nil {
			return fmt.Errorf("jq: %w", err)
		}
	}
	return nil
}

// queried reads what a jq program gives.
func (e *emitter) queried(found gojq.Iter) error {
	rec := newRecords(e)
	for range maxJQValues {
		v, ok := found.Next()
		if !ok || e.done {
			return nil
		}
		if err, isErr := v.(error); isErr {
			return err
		}
		// Whatever comes out is read like a list in JSON: objects, strings, arrays.
		text, err := gojq.Marshal(v)
		if err != nil {
			return err
		}
		j := &jsonReader{e: e, rec: rec, buf: text, end: len(text), err: io.EOF}
		j.run()
	}
	return nil
}
