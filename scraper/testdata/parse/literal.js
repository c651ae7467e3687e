const list = [
  {ip: '81.213.107.35', port: 8080, type: `socks5`}, // first
  {ip: '31.69.201.124', 'port': '81'},
];
