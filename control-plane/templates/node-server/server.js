const http = require('node:http');

const port = process.env.PORT || 3000;

function answer(request, response) {
  if (request.url === '/health') {
    response.end('well\n');
    return;
  }
  response.setHeader('Content-Type', 'text/plain; charset=utf-8');
  response.end('{{greeting}} from Node.js\n');
}

const server = http.createServer(answer);
server.listen(port, () => console.log(`listening on port ${port}`));
process.on('SIGTERM', () => server.close());

module.exports = answer;
