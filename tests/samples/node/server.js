const http = require('node:http');
const greeting = require('greeting');

const port = process.env.PORT || 3000;
http
  .createServer((request, response) => response.end(greeting('Node.js')))
  .listen(port);
