const express = require('express');

const port = process.env.PORT || 3000;
const notes = [];
const app = express();

app.use(express.json());
app.get('/health', (request, response) => response.send('well\n'));
app.get('/notes', (request, response) => response.json(notes));
app.post('/notes', (request, response) => {
  const text = request.body?.text;
  if (typeof text !== 'string' || text === '') {
    response.status(422).json({ error: 'text is missing' });
    return;
  }
  notes.push({ id: notes.length + 1, text });
  response.status(201).json(notes.at(-1));
});

app.listen(port, () => console.log(`listening on port ${port}`));
