// Server: Your serverless function publishes via REST
export async function POST(request: Request) {
  // Do your business logic
  const result = await processOrder(request);
  // Notify user via WebSocket service
  await fetch('https://api.pushflo.dev/api/v1/publish', {
    method: 'POST',
    headers: { 'Authorization': 'Bearer YOUR_KEY' },
    body: JSON.stringify({
      channel: 'notifications',
      data: { message: 'Order complete!' }
    })
  });
  return Response.json(result);
}
