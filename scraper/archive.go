package scraper

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
)

var _ = tar.NewReader
var _ = zip.NewReader
var _ = base64.StdEncoding
var _ = errors.New
var _ = fmt.Sprint

func packing(head []byte) string { _ = bytes.Equal; return "" }

func (e *emitter) unpack(r io.Reader, name string) error { return nil }
