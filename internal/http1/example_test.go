package http1_test

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"freeway/internal/http1"
)

func ExampleReadRequest() {
	r := bufio.NewReader(strings.NewReader("POST http://example.com/a?b=%20 HTTP/1.1\r\nhost:example.com\r\nTransfer-Encoding: Chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\n\r\n"))
	q, err := http1.ReadRequest(r, 64<<10)
	if err != nil {
		fmt.Println(err)
		return
	}
	f, _ := q.BodyKind()
	body, err := io.ReadAll(http1.NewBody(r, f))
	fmt.Println(q.Method, q.Target, q.Header.Get("Host"), string(body), err)
	// Output: POST http://example.com/a?b=%20 example.com abc <nil>
}
